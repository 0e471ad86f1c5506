"""A finished run opened again, and judged with wrong texts."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from jobs.context import RunContext
from jobs.task import Outcome
from jobs.tasks.crystal.schema import CrystalParams
from jobs.tasks.crystal.task import CrystalTask
from jobs.tasks.crystal.tools import robustness
from jobs.tasks.crystal.tools.load_run import open_run
from runner.errors import UserError
from runner.rundir.layout import RunDir

torch.set_num_threads(1)
ENCODER = {"name": "alignn", "alignn_layers": 1, "gcn_layers": 1, "embedding": 8, "hidden": 16}


def trained(folder: Path, cache: Path, model: dict[str, Any], task: str = "crystal") -> tuple[RunDir, Outcome]:
    """A run of two epochs as a worker leaves it."""
    params = {
        "data": {"dataset": "jarvis_minerals", "train": 24, "val": 12, "test": 12},
        "text": {"describe": "robocrys", "max_length": 32},
        "model": {"encoder": ENCODER, **model},
        "train": {"epochs": 2, "batch_size": 8},
    }
    run = RunDir(folder / "run")
    run.path.mkdir()
    names = {"experiment": "x", "run_id": "run", "variant": "v", "seed": 0, "task": task}
    run.config.write_text(yaml.safe_dump({**names, "params": params}))
    outcome = CrystalTask().run(CrystalParams.model_validate(params), RunContext(run, cache_root=cache))
    return run, outcome


def test_right_texts_give_the_metrics_of_the_run_and_wrong_ones_others(tmp_path: Path, cache: Path) -> None:
    run, outcome = trained(tmp_path, cache, {"late_fusion": {"name": "cross_attention", "hidden_dim": 8}})
    found = robustness.robustness(run, cache)
    assert set(found) == set(robustness.TEXTS)
    for name in ("val_mae", "test_mae"):
        assert found["right"][name] == pytest.approx(outcome.metrics[name], rel=1e-6)
        assert len({round(its[name], 9) for its in found.values()}) == 4


def test_run_is_opened_with_the_weights_of_its_best_epoch(tmp_path: Path, cache: Path) -> None:
    run, outcome = trained(tmp_path, cache, {"middle_fusion": {"name": "dynamic", "layers": [1]}})
    learner = open_run(run, cache)
    assert not learner.model.training
    assert learner.validate().metrics["val_mae"] == pytest.approx(outcome.metrics["val_mae"], rel=1e-6)
    listed = json.loads(run.splits.read_text())
    run.splits.write_text(json.dumps({**listed, "val": listed["val"][::-1]}))
    with pytest.raises(UserError, match="jarvis_minerals has changed: it gives other crystals than"):
        open_run(run, cache)
    run.best_checkpoint.write_bytes(run.best_checkpoint.read_bytes()[:500])
    run.splits.write_text(json.dumps(listed))
    with pytest.raises(UserError, match=r"best\.pt is not a whole checkpoint"):
        open_run(run, cache)
    run.best_checkpoint.unlink()
    with pytest.raises(UserError, match=r"run has no best\.pt: it has not ended an epoch"):
        open_run(run, cache)


def test_run_without_text_and_other_tasks_are_refused(tmp_path: Path, cache: Path) -> None:
    run, _ = trained(tmp_path, cache, {})
    with pytest.raises(UserError, match="run predicts from the graph alone"):
        robustness.robustness(run, cache)
    run.config.write_text(run.config.read_text().replace("task: crystal", "task: sentiment"))
    with pytest.raises(UserError, match="a run of the task 'sentiment'"):
        robustness.robustness(run, cache)


def corpus(texts: list[str | None]) -> Any:
    half = len(texts) // 2
    return SimpleNamespace(descriptions=texts, places={"val": range(half), "test": range(half, len(texts))})


@pytest.mark.parametrize("seed", range(5))
def test_shuffling_gives_every_crystal_the_text_of_another_of_its_split(seed: int) -> None:
    texts: list[str | None] = [f"text {number}" for number in range(20)]
    mixed = robustness.shuffled(corpus(texts), seed)
    assert all(new != old for new, old in zip(mixed, texts, strict=True))
    assert sorted(mixed[:10], key=str) == sorted(texts[:10], key=str)
    assert sorted(mixed[10:], key=str) == sorted(texts[10:], key=str)


def test_crystals_without_text_stay_without() -> None:
    texts = ["a", None, "b", "c", None, "d"]
    mixed = robustness.shuffled(corpus(texts), 0)
    assert [text is None for text in mixed] == [text is None for text in texts]
    assert robustness.shuffled(corpus(["a", None, "b", None]), 0) == ["a", None, "b", None]  # nobody to swap with


def test_truncated_text_is_the_first_half_of_its_words() -> None:
    assert robustness.truncated("one two three four five") == "one two three"
    assert robustness.truncated(None) is None
    its = SimpleNamespace(descriptions=["a b", "c d", None], places={"train": [0], "val": [1], "test": [2]})
    assert robustness.halved(its) == [None, "c", None]


def test_model_that_reads_its_text_errs_more_without_it() -> None:
    def found(right: float, deleted: float, shuffled: float) -> dict[str, dict[str, float]]:
        return {"right": {"m": right}, "deleted": {"m": deleted}, "shuffled": {"m": shuffled}, "truncated": {"m": 0}}

    assert robustness.reads_its_text(found(1, 2, 3), "m", "min")
    assert not robustness.reads_its_text(found(1, 3, 2), "m", "min")
    assert not robustness.reads_its_text(found(2, 2, 3), "m", "min")
    assert robustness.reads_its_text(found(0.9, 0.8, 0.7), "m", "max")
    assert robustness.means([found(1, 2, 3), found(3, 4, 5)])["deleted"] == {"m": 3.0}
