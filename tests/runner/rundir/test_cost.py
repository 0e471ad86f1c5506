"""The bill: what was asked for against what was used, and what to ask for the next time."""

from __future__ import annotations

from typing import Any

import pytest

from runner.rundir.result import cost_line


def of(memory: float, minutes: float, asked: tuple[int | None, int | None] = (16 * 1024, 30 * 60)) -> dict[str, Any]:
    return {
        "memory_mib": memory, "seconds": 60 * minutes, "gpu_memory_mib": None,
        "asked_memory_mib": asked[0], "asked_seconds": asked[1],
    }  # fmt: skip


def test_more_than_was_needed_is_named_with_what_to_ask_for() -> None:
    assert (
        cost_line([of(4300, 18), of(2000, 10)]) == "asked for 16G, 30m a run; used at most 4.2G, 18m: ask for 6G, 25m"
    )


def test_a_request_that_fits_is_left_as_it_is() -> None:
    assert cost_line([of(5000, 22, (7 * 1024, 30 * 60))]) == "asked for 7G, 30m a run; used at most 4.88G, 22m"


def test_runs_without_limits_are_proposed_some() -> None:
    line = cost_line([of(300, 0.1, (None, None))])
    assert line == "asked for any, any a run; used at most 300M, 6s: ask for 384M, 1m"


def test_gpu_memory_and_the_usual_time_are_shown() -> None:
    costs = [of(4300, minutes) | {"gpu_memory_mib": 3072.0} for minutes in (18, 10, 11)]
    assert "18m (half of them 11m or less), 3G of GPU memory" in str(cost_line(costs))


@pytest.mark.parametrize("costs", [[], [{}], [{"memory_mib": "much"}], [{"memory_mib": float("nan")}]])
def test_runs_that_do_not_tell_their_cost_have_no_line(costs: list[dict[str, Any]]) -> None:
    assert cost_line(costs) is None
