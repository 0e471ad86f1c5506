"""Points that join a search: valid, new, and as many as are still wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.tasks.crystal.schema import CrystalParams
from runner.config.experiment import Overrides
from runner.config.experiment_file import load
from runner.errors import ConfigError
from runner.matrix.expansion import Expansion, expand
from runner.matrix.proposed import joined

pytest.importorskip("optuna", reason="OPTUNA: no point joined a search; pip install optuna")

FUSIONS = "model.late_fusion.name: {choice: [none, bilinear, gated]}"
RANK = "model.late_fusion.rank: {integer: [4, 32]}"
DROPOUT = "model.dropout: {uniform: [0, 0.5]}"
STEPS = "train.warmup_steps: {integer: [1, 50], when: {train.schedule: linear_warmup}}"
SCHEDULE = "train.schedule: {choice: [constant, linear_warmup]}"


def expansion(folder: Path, axes: str, more: str = "", params: str = "{}", keys: str = "") -> Expansion:
    path = folder / "e.yaml"
    path.write_text(
        f"experiment: e\nparams: {params}\nmatrix: {{random: {{axes: {{{axes}}}}}{more}}}\n"
        f"search: {{propose: {{count: 30, at_once: 12}}{keys}}}\n"
    )
    return expand(load(path), CrystalParams, "train.seed")


def joining(its: Expansion, number: int = 1) -> dict[str, Overrides]:
    seen = {run.point: (float(index),) for index, run in enumerate(its.first_round)}
    return joined(its, number, seen)


def test_first_round_is_drawn_and_the_next_ones_are_filled_up(tmp_path: Path) -> None:
    its = expansion(tmp_path, f"{FUSIONS}, {RANK}, {DROPOUT}")
    assert len(its.runs) == 12
    points = joining(its)
    wider = its.with_proposed(points.values())
    assert [run.point for run in wider.runs] == [run.point for run in its.runs] + list(points)
    assert [run.run_id for run in wider.runs[:12]] == [run.run_id for run in its.runs]
    assert len(joining(wider, 2)) == 6
    assert joining(wider, 3) == {}


def test_drawn_points_are_those_of_a_plain_matrix(tmp_path: Path) -> None:
    its = expansion(tmp_path, f"{FUSIONS}, {RANK}, {DROPOUT}")
    path = tmp_path / "plain.yaml"
    path.write_text(f"experiment: e\nmatrix: {{random: {{count: 12, axes: {{{FUSIONS}, {RANK}, {DROPOUT}}}}}}}\n")
    assert [run.run_id for run in expand(load(path), CrystalParams, "train.seed").runs] == [r.run_id for r in its.runs]


def test_conditions_hold_for_proposed_points(tmp_path: Path) -> None:
    its = expansion(tmp_path, f"{FUSIONS}, {RANK}, {STEPS}, {SCHEDULE}", params="{data: {train: 500}}")
    points = joining(its).values()
    assert len(points) == 12
    for point in points:
        assert ("model.late_fusion.rank" in point) == (point["model.late_fusion.name"] == "bilinear")
        assert ("train.warmup_steps" in point) == (point["train.schedule"] == "linear_warmup")


def test_point_that_only_its_combination_makes_invalid_is_proposed_again(tmp_path: Path) -> None:
    axes = "train.warmup_steps: {integer: [1, 200]}, train.epochs: {integer: [2, 20]}"
    points = joining(expansion(tmp_path, axes, params="{data: {train: 640}}")).values()
    assert len(points) == 12
    assert all(point["train.warmup_steps"] <= point["train.epochs"] * 5 for point in points)


def test_axes_with_few_values_end_with_fewer_points_and_no_point_twice(tmp_path: Path) -> None:
    its = expansion(tmp_path, "train.loss: {choice: [l1, mse]}, train.epochs: {integer: [1, 7]}")
    points = joining(its)
    assert len(points) == 2
    assert not points.keys() & {run.point for run in its.runs}


def test_named_points_run_in_the_first_round_and_teach_the_proposals(tmp_path: Path) -> None:
    alone = expansion(tmp_path, f"{DROPOUT}, {RANK}", params="{model: {late_fusion: {name: bilinear}}}")
    hand = ", named: {hand: {model.dropout: 0.4}, graph_only: {model.late_fusion: {name: none}}}"
    beside = expansion(tmp_path, f"{DROPOUT}, {RANK}", hand, "{model: {late_fusion: {name: bilinear}}}")
    assert len(beside.first_round) == len(alone.first_round) + 2
    assert joining(beside).keys() != joining(alone).keys()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("matrix: {random", "matrix: {zip: [{train.epochs: [1, 2]}], random"), "matrix.zip: does not go with search"),
        (("matrix: {random", "matrix: {axes: {train.epochs: [1]}, random"), "matrix.axes: does not go with search"),
        (("matrix: {random", "matrix: {exclude: [{train.loss: mse}], random"), "matrix.exclude: does not go with"),
        (("at_once: 12", "at_once: 30"), "search.propose: found count 30 and at_once 30, so nothing is proposed"),
        (("count: 30, ", ""), "search.propose.count: missing"),
        (("{count", "{method: gp, count"), "search.propose.method: found 'gp'"),
        (("propose: {count: 30, at_once: 12}", "seeds: racing"), "matrix.random.count: missing; it must be given"),
    ],
)  # fmt: skip
def test_proposals_that_contradict_the_file_are_one_clear_error(
    tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    text = (
        f"experiment: e\nmatrix: {{random: {{axes: {{{DROPOUT}, train.loss: {{choice: [l1, mse]}}}}}}, "
        "seeds: [0, 1]}\n"
        "search: {propose: {count: 30, at_once: 12}}\n"
    )
    assert change[0] in text
    path = tmp_path / "e.yaml"
    path.write_text(text.replace(*change))
    with pytest.raises(ConfigError) as error:
        expand(load(path), CrystalParams, "train.seed")
    assert len(error.value.problems) == 1, str(error.value)
    assert words in str(error.value)


def test_proposals_without_random_axes_are_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text("experiment: e\nmatrix: {named: {a: {}}}\nsearch: {propose: {count: 30, at_once: 12}}\n")
    with pytest.raises(ConfigError, match=r"search\.propose: needs matrix\.random") as error:
        expand(load(path), CrystalParams, "train.seed")
    assert len(error.value.problems) == 1
