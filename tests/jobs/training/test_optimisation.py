"""Optimiser and schedules."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from jobs.training.optimisation import optimiser_for, schedule_for, warmup_steps


def rates(kind: str, total: int, warmup: int | None = None) -> list[float]:
    optimiser = optimiser_for(nn.Linear(2, 2), 1.0, 0.0)
    schedule = schedule_for(optimiser, kind, total, warmup=warmup)  # type: ignore[arg-type]
    found = []
    for _ in range(total):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return found


def test_biases_and_norms_are_not_decayed() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    decayed, free = optimiser_for(model, 1e-3, 0.1).param_groups
    assert [p.ndim for p in decayed["params"]] == [2]
    assert [p.ndim for p in free["params"]] == [1, 1, 1]
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)


def test_onecycle_rises_for_its_share_of_the_steps() -> None:
    found = rates("onecycle", 100)
    assert found.index(max(found)) == pytest.approx(29, abs=1)
    assert max(found) == pytest.approx(1.0)
    assert found[-1] < found[0] < 0.05


def test_linear_warmup_rises_linearly_then_stays() -> None:
    found = rates("linear_warmup", 10, warmup=3)
    assert found == pytest.approx([0.25, 0.5, 0.75, 1.0] + [1.0] * 6)


@pytest.mark.parametrize(("wanted", "total", "expected"), [(None, 100_000, 2000), (None, 100, 30), (50, 100, 50)])
def test_warmup_is_bounded(wanted: int | None, total: int, expected: int) -> None:
    assert warmup_steps(wanted, total) == expected


def test_warmup_of_more_than_half_the_run_is_refused() -> None:
    with pytest.raises(ValueError, match="warmup_steps 51 is more than half of the run's 100 steps; allowed: 0 to 50"):
        warmup_steps(51, 100)


def test_schedules_resume_where_they_were() -> None:
    optimiser = optimiser_for(nn.Linear(2, 2), 1.0, 0.0)
    schedule = schedule_for(optimiser, "onecycle", 50)
    for _ in range(10):
        optimiser.step()
        schedule.step()
    other = optimiser_for(nn.Linear(2, 2), 1.0, 0.0)
    again = schedule_for(other, "onecycle", 50)
    other.load_state_dict(optimiser.state_dict())
    again.load_state_dict(schedule.state_dict())
    assert other.param_groups[0]["lr"] == optimiser.param_groups[0]["lr"]
    assert torch.tensor(again.get_last_lr()).equal(torch.tensor(schedule.get_last_lr()))
