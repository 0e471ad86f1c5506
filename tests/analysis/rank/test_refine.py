"""A finer grid around the best."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from analysis.rank.refinement import finer
from experiment_factory import Plan, PlannedVariant, write_experiment
from runner.commands.loading import load

CONFIG = """\
experiment: grid
task: crystal
params: {data: {train: 16}, model: {middle_fusion: {name: dynamic}}}
matrix:
  axes: {train.learning_rate: [1e-4, 1e-3, 1e-2], train.batch_size: [16, 32], train.loss: [l1, mse]}
  seeds: [0, 3]
baseline: {train.learning_rate: 1e-4, train.batch_size: 16, train.loss: l1}
next: {config: stage2.yaml}
"""


@pytest.mark.parametrize(
    ("tried", "best", "values", "at_edge"),
    [
        ([0.001, 0.01, 0.1], 0.01, (0.00215, 0.00464, 0.01, 0.0215, 0.0464), False),
        ([1.0, 2.0, 3.0], 2.0, (1.33, 1.67, 2.0, 2.33, 2.67), False),
        ([1.0, 2.0, 3.0], 3.0, (2.33, 2.67, 3.0, 3.33, 3.67), True),
        ([0.0, 0.5], 0.0, (0.0, 0.167, 0.333), True),  # a dropout is not negative
        ([-1.0, 0.0], 0.0, (-0.667, -0.333, 0.0, 0.333, 0.667), True),
        ([0.1, 0.3], 0.1, (0.0333, 0.1, 0.167, 0.233), True),  # nothing below zero where all were positive
        ([16, 32], 32, (21, 27, 32, 37, 43), True),
        ([1, 2, 3], 2, (1, 2, 3), False),
    ],
)
def test_values_lie_between_the_neighbours(tried, best, values, at_edge) -> None:
    found = finer("a", tried, best, 5)
    assert found.values == pytest.approx(values)
    assert found.at_edge is at_edge
    assert [type(value) for value in found.values] == [type(value) for value in values]


def grid(tmp_path: Path, *, config: bool = True) -> Path:
    variants = [
        PlannedVariant(
            f"{rate}-{size}-{loss}",
            error=0.1 if (rate, size, loss) == (1e-3, 32, "mse") else 0.2,
            axes={"train.learning_rate": rate, "train.batch_size": size, "train.loss": loss},
        )
        for rate in (1e-4, 1e-3, 1e-2)
        for size in (16, 32)
        for loss in ("l1", "mse")
    ]
    path = tmp_path / "grid.yaml"
    if config:
        path.write_text(CONFIG)
    return write_experiment(tmp_path / "runs", Plan(variants, name="grid", seeds=[0], manifest={"config": str(path)}))


def test_the_new_experiment_surrounds_the_best_and_can_be_submitted(tmp_path, analysis) -> None:
    status, out, err = analysis("refine", grid(tmp_path))
    path = Path(out.strip())
    assert (status, path) == (0, tmp_path / "runs" / "grid_refined" / "experiment.yaml")
    assert "train.batch_size: 21, 27, 32, 37, 43; the best was at the edge" in err
    content = yaml.safe_load(path.read_text())
    assert content["matrix"]["axes"]["train.learning_rate"] == [0.000215, 0.000464, 0.001, 0.00215, 0.00464]
    assert (content["params"]["train"], content["matrix"]["seeds"]) == ({"loss": "mse"}, [0, 3])
    loaded = load(path, tmp_path)
    assert len(loaded.expansion.runs) == 5 * 5 * 2
    best = [run for run in loaded.expansion.runs if run.variant == loaded.expansion.baseline]
    assert {(run.axes["train.learning_rate"], run.axes["train.batch_size"]) for run in best} == {(0.001, 32)}


def test_nothing_is_overwritten(tmp_path, refused, analysis) -> None:
    path = grid(tmp_path)
    analysis("refine", path)
    assert "nothing is overwritten" in refused(1, "refine", path)


def test_without_numeric_axes_there_is_nothing_to_refine(tmp_path, refused) -> None:
    assert "no numeric axis with two values" in refused(
        1, "refine", write_experiment(tmp_path, Plan([PlannedVariant("2"), PlannedVariant("3")]))
    )


def test_a_copy_without_its_experiment_file_is_said(tmp_path, refused) -> None:
    assert "holds no experiment file" in refused(1, "refine", grid(tmp_path, config=False))


def test_a_name_that_leads_out_of_the_root_writes_nothing(tmp_path, refused) -> None:
    path = grid(tmp_path)
    assert "cannot name a directory" in refused(2, "refine", path, "--name", "../elsewhere")
    assert not (path.parent.parent / "elsewhere").exists()
