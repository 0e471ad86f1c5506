"""Points that TPE proposes from results."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from itertools import islice
from typing import Any

import pytest

from jobs.launch import python_path
from runner.config.experiment import Draw, Overrides
from runner.search.proposals import suggestions

pytest.importorskip("optuna", reason="OPTUNA: no point was proposed; pip install optuna")

AXES = {
    "rate": Draw(log_uniform=(1e-5, 1.0)),
    "kind": Draw(choice=[[1], [2, 3], {"name": "x"}]),
    "width": Draw(integer=(1, 9), when={"kind": [2, 3]}),
    "share": Draw(uniform=(0.0, 0.5)),
}


def results(count: int = 40) -> list[tuple[Overrides, float]]:
    """The smaller the share and the wider the second kind, the better."""
    made, some = [], random.Random(0)
    for _ in range(count):
        point: dict[str, Any] = {"rate": 10 ** some.uniform(-5, 0), "kind": some.choice(AXES["kind"].choice or [])}
        point |= {"share": some.uniform(0, 0.5)} | ({"width": some.randint(1, 9)} if point["kind"] == [2, 3] else {})
        made.append((point, point["share"] + 1 - point.get("width", 0) / 9))
    return made


def proposed(mode: str = "min", seed: int = 1, count: int = 12, told: Any = None) -> list[Overrides]:
    return list(islice(suggestions(AXES, results() if told is None else told, mode, seed), count))


def test_same_results_and_seed_propose_the_same_points() -> None:
    assert proposed() == proposed()
    assert proposed(seed=2) != proposed()
    assert proposed(told=results(39)) != proposed()


def test_order_of_hashes_in_a_process_changes_no_proposal() -> None:
    script = "import test_proposals as t; print(t.fingerprint())"
    told = [
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), python_path({})]),
                 "PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    ]  # fmt: skip
    assert told == [fingerprint()] * 2


def fingerprint() -> str:
    return hashlib.sha256(repr(proposed()).encode()).hexdigest()


def test_every_axis_has_a_short_value_within_its_borders() -> None:
    for point in proposed(count=40):
        assert point.keys() == AXES.keys()
        assert 1e-5 <= point["rate"] <= 1
        assert float(f"{point['rate']:.3g}") == point["rate"]
        assert point["kind"] in (AXES["kind"].choice or [])
        assert point["width"] in range(1, 10)
        assert 0 <= point["share"] <= 0.5


def test_proposals_go_where_results_are_good_and_the_mode_says_which() -> None:
    told = [(point, point["share"]) for point, _ in results()]
    small, large = (sum(point["share"] for point in proposed(mode, told=told)) / 12 for mode in ("min", "max"))
    assert small < 0.15 < 0.35 < large


def test_proposals_learn_axes_that_only_some_points_have() -> None:
    wide = [point["width"] for point in proposed(count=40) if point["kind"] == [2, 3]]
    assert len(wide) > 20
    assert sum(wide) / len(wide) > 6


@pytest.mark.parametrize(
    "foreign", [{}, {"share": 0.7}, {"rate": 0.1, "other": 1}, {"kind": [9]}, {"share": None}], ids=str
)
def test_result_that_the_axes_do_not_hold_is_left_out(foreign: Overrides) -> None:
    assert proposed(told=[*results(), (foreign, -100.0)]) == proposed()


def test_first_proposals_need_no_results() -> None:
    assert len({repr(point) for point in proposed(told=[])}) == 12
