"""Random axes that not every drawn point has."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.tasks.crystal.schema import CrystalParams
from runner.config.experiment_file import load
from runner.errors import ConfigError
from runner.matrix.expansion import Run, expand

FUSIONS = "model.late_fusion.name: {choice: [none, bilinear, gated]}"
RANK = "model.late_fusion.rank: {integer: [4, 32]}"


def runs(tmp_path: Path, axes: str, count: int = 12, params: str = "{}") -> list[Run]:
    path = tmp_path / "e.yaml"
    path.write_text(
        f"experiment: e\nparams: {params}\nmatrix: {{random: {{count: {count}, seed: 1, axes: {{{axes}}}}}}}\n"
    )
    return expand(load(path), CrystalParams, "train.seed").runs


def test_axis_that_a_drawn_kind_lacks_is_left_out(tmp_path: Path) -> None:
    found = runs(tmp_path, f"{FUSIONS}, {RANK}, model.dropout: {{uniform: [0, 0.5]}}")
    kinds = {run.params["model"]["late_fusion"]["name"]: "model.late_fusion.rank" in run.axes for run in found}
    assert kinds == {"none": False, "bilinear": True, "gated": False}
    assert len({run.run_id for run in found}) == 12


def test_axis_with_when_is_drawn_only_where_that_holds(tmp_path: Path) -> None:
    choice = "train.schedule: {choice: [constant, linear_warmup]}"
    steps = "train.warmup_steps: {integer: [1, 50], when: {train.schedule: linear_warmup}}"
    found = runs(tmp_path, f"{steps}, {choice}", params="{data: {train: 500}, train: {epochs: 20}}")
    assert {(run.params["train"]["schedule"], "train.warmup_steps" in run.axes) for run in found} == {
        ("constant", False), ("linear_warmup", True)
    }  # fmt: skip
    assert sum(run.params["train"]["schedule"] == "constant" for run in found) == 1  # the others would be the same


def test_point_that_only_its_combination_makes_invalid_is_drawn_again(tmp_path: Path) -> None:
    axes = "train.warmup_steps: {integer: [1, 200]}, train.epochs: {integer: [2, 20]}"
    found = runs(tmp_path, axes, params="{data: {train: 640}}")
    assert len(found) == 12
    assert all(run.params["train"]["warmup_steps"] <= run.params["train"]["epochs"] * 5 for run in found)


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        (f"{FUSIONS}, model.late_fusion.rnk: {{integer: [4, 32]}}", "rnk"),
        ("train.learning_rate: {uniform: [-2, -1]}", "train.learning_rate: must be more than 0"),
        (f"{RANK[:-1]}, when: {{model.late_fusion.name: tuker}}}}, {FUSIONS}", "when: is met by no drawn point"),
        ("model.dropout: {when: {model.dropout: 1}}", "found nothing; write one of uniform, log_uniform"),
    ],
)  # fmt: skip
def test_axis_that_fits_no_point_is_an_error(tmp_path: Path, axes: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        runs(tmp_path, axes)
