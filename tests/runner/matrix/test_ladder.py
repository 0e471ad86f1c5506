"""The points of a search at each budget, and what contradicts a search."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.tasks.command.schema import CommandParams
from jobs.tasks.crystal.schema import CrystalParams
from runner.config.experiment_file import load
from runner.errors import ConfigError
from runner.matrix.expansion import Expansion, expand

HEAD = (
    "experiment: e\nparams: {train: {batch_size: 32%s}}\n"
    "matrix: {axes: {model.dropout: [0.1, 0.2]}, seeds: [0, 1, 2]}\n"
)
RUNGS = "search: {rungs: {key: train.epochs, values: [5, 10, 20]}}\n"


def expansion(tmp_path: Path, text: str) -> Expansion:
    path = tmp_path / "e.yaml"
    path.write_text(text)
    return expand(load(path), CrystalParams, "train.seed")


def problem(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as error:
        expansion(tmp_path, text)
    assert len(error.value.problems) == 1, str(error.value)
    return str(error.value)


def test_runs_at_the_full_budget_are_those_of_a_plain_matrix(tmp_path: Path) -> None:
    plain = expansion(tmp_path, HEAD % ", epochs: 20")
    search = expansion(tmp_path, HEAD % "" + RUNGS)
    full = [(run.run_id, run.variant, run.axes) for run in search.runs if run.rung == 2]
    assert full == [(run.run_id, run.variant, run.axes) for run in plain.runs]
    assert search.runs[0].variant == "dropout=0.1 epochs=5"
    assert search.runs[0].point == "dropout=0.1"
    assert {run.params["train"]["epochs"] for run in search.runs if run.rung == 0} == {5}


def test_race_lists_only_the_seeds_that_a_rung_may_run(tmp_path: Path) -> None:
    runs = expansion(tmp_path, HEAD % "" + RUNGS.replace("{rungs", "{seeds: racing, rungs")).runs
    assert [sum(run.rung == rung for run in runs) for rung in range(3)] == [2 * 1, 2 * 2, 2 * 3]


def test_baseline_means_the_full_budget(tmp_path: Path) -> None:
    assert expansion(tmp_path, HEAD % "" + RUNGS + "baseline: {model.dropout: 0.2}\n").baseline == "dropout=0.2"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("train.epochs", "train.epoch"), "train.epoch: unknown key"),
        (("[5, 10, 20]", "[5, 20, 10]"), "search.rungs.values: found [5, 20, 10]; write positive numbers that rise"),
        (("[5, 10, 20]", "[20]"), "search.rungs.values"),
        (("values: [5", "keep: 2, values: [5"), "search.rungs.keep: found 2; write a part between 0 and 1"),
        (("seeds: [0, 1, 2]", "seeds: [0, 1]"), "matrix.seeds: found 2; the race needs a further seed"),
        (("batch_size: 32", "batch_size: 32, patience: 3"), "train.patience: is not compatible with rungs"),
        (("batch_size: 32", "batch_size: 32, epochs: 30"), "params.train.epochs: found 30, and the rungs"),
        (("model.dropout: [0.1, 0.2]", "train.epochs: [5, 20]"), "train.epochs is set by the matrix"),
        (("search: {", "search: {seed: racing, "), "search.seed: unknown key"),
        (("32", "32, schedule: warmup_stable_decay"), "train.warmup_steps: missing; warmup_stable_decay"),
    ],
)  # fmt: skip
def test_search_that_contradicts_the_file_is_one_clear_error(
    tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    text = HEAD % "" + RUNGS.replace("{rungs", "{seeds: racing, rungs")
    assert change[0] in text
    assert words in problem(tmp_path, text.replace(*change))


def test_budget_of_a_command_must_be_one_of_its_values(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text(
        "experiment: e\ntask: command\nparams: {command: {run: 'true', metrics: {file: m.json, format: json}}, "
        "values: {steps: 20}}\nsearch: {rungs: {key: values.step, values: [5, 20]}}\n"
    )
    with pytest.raises(ConfigError, match=r"found 'values\.step', which is no value of the task") as error:
        expand(load(path), CommandParams, "values.seed")
    assert "values.steps" in str(error.value)
