"""Warm starts, and finished runs that are given more epochs: real runs of the crystal task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from jobs.context import RunContext
from jobs.failure import Kind, RunFailure
from jobs.tasks.crystal.schema import CrystalParams
from jobs.tasks.crystal.task import CrystalTask
from jobs.training import checkpoint
from runner.commands.loading import load
from runner.errors import ConfigError
from runner.files import read_json_lines, write_json
from runner.rundir.layout import RunDir

torch.set_num_threads(1)


def described(**train: Any) -> dict[str, Any]:
    return {
        "data": {"dataset": "jarvis_minerals", "train": 16, "val": 8, "test": 8},
        "model": {"encoder": {"name": "alignn", "alignn_layers": 1, "gcn_layers": 1, "embedding": 8, "hidden": 16}},
        "train": {"batch_size": 8, "schedule": "constant", **train},
    }


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def run(root: Path, cache: Path, name: str, rungs: dict[str, Any] | None = None, **train: Any) -> RunDir:
    """A completed run, with the files by which others know it; `rungs`: what a search says of its neighbours."""
    directory = RunDir(root / "e" / "runs" / name)
    directory.path.mkdir(parents=True)
    params = CrystalParams.model_validate(described(**train))
    content = {"experiment": "e", "run_id": name, "variant": name, "seed": 0, "task": "crystal"}
    directory.config.write_text(yaml.safe_dump({**content, "params": params.model_dump(mode="json")}))
    outcome = CrystalTask().run(params, RunContext(directory, cache_root=cache, **(rungs or {})))
    write_json(directory.result, {"metrics": outcome.metrics, "epochs": outcome.epochs})
    return directory


def weights(directory: RunDir) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = checkpoint.load(directory.last_checkpoint)["model"]
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """An experiment with a finished run of two epochs."""
    root = tmp_path_factory.mktemp("root")
    run(root, cache, "short", epochs=2)
    return root


def test_finished_run_with_more_epochs_is_the_longer_run_bit_for_bit(finished: Path, cache: Path) -> None:
    fresh = run(finished, cache, "fresh", epochs=4)
    fresh_path = fresh.path.rename(finished / "fresh")  # else it would be the same run, finished already
    longer = run(finished, cache, "longer", epochs=4, continue_finished=True)
    for name, tensor in weights(RunDir(fresh_path)).items():
        assert torch.equal(tensor, weights(longer)[name]), name
    told = [[line["epoch"], line["val_mae"]] for line in read_json_lines(longer.metrics)]
    assert told == [[line["epoch"], line["val_mae"]] for line in read_json_lines(RunDir(fresh_path).metrics)]


def test_crystal_run_by_rungs_is_the_run_alone_bit_for_bit(tmp_path: Path, cache: Path) -> None:
    schedule = {"schedule": "warmup_stable_decay", "warmup_steps": 1}
    alone = run(tmp_path, cache, "alone", epochs=5, **schedule)
    lower = run(tmp_path, cache, "lower", {"keep_stable": True}, epochs=2, **schedule)
    above = run(tmp_path, cache, "above", {"below": lower}, epochs=5, **schedule)
    assert all(torch.equal(tensor, weights(above)[name]) for name, tensor in weights(alone).items())
    assert above.predictions.read_bytes() == alone.predictions.read_bytes()
    values = [[line["val_mae"] for line in read_json_lines(one.metrics)] for one in (alone, above)]
    assert values[0] == values[1]
    assert not above.stable_checkpoint.exists()


def test_nothing_to_go_on_from_is_said(finished: Path, cache: Path) -> None:
    with pytest.raises(
        RunFailure, match="no finished run of this experiment differs in having fewer epochs alone"
    ) as e:
        run(finished, cache, "other", epochs=4, learning_rate=0.1, continue_finished=True)
    assert e.value.kind is Kind.DATA_MISSING


def test_schedule_that_depends_on_the_epochs_cannot_be_lengthened() -> None:
    for schedule in ("onecycle", "linear_warmup"):
        with pytest.raises(ValueError, match=f"the learning rates of {schedule} depend on the number of epochs"):
            CrystalParams.model_validate(described(schedule=schedule, continue_finished=True))
    CrystalParams.model_validate(described(schedule="linear_warmup", warmup_steps=2, continue_finished=True))


def test_warm_start_begins_with_the_weights_of_the_checkpoint(finished: Path, cache: Path, tmp_path: Path) -> None:
    path = str(RunDir(finished / "e" / "runs" / "short").last_checkpoint)
    warm = run(tmp_path, cache, "warm", epochs=1, learning_rate=1e-12, warm_start=path)
    before = checkpoint.load(Path(path))["model"]
    for name, tensor in weights(warm).items():
        torch.testing.assert_close(tensor, before[name], atol=1e-6, rtol=1e-6)
    assert len(read_json_lines(warm.metrics)) == 1


def experiment(folder: Path, text: str) -> Path:
    path = folder / "e.yaml"
    path.write_text(f"experiment: e\nparams:\n  data: {{dataset: jarvis_minerals}}\n  train: {{{text}}}\n")
    return path


def test_content_of_the_checkpoint_is_part_of_the_identity_and_its_place_is_not(tmp_path: Path) -> None:
    def run_id(text: str) -> str:
        return load(experiment(tmp_path, text), tmp_path).expansion.runs[0].run_id

    first, second = tmp_path / "a.pt", tmp_path / "b.pt"
    first.write_bytes(b"one")
    second.write_bytes(b"one")
    cold, warm = run_id("epochs: 3"), run_id(f"epochs: 3, warm_start: {first}")
    assert warm != cold
    assert run_id(f"epochs: 3, warm_start: {second}") == warm
    assert run_id("epochs: 3, schedule: constant, continue_finished: true") == run_id("epochs: 3, schedule: constant")
    second.write_bytes(b"two")
    assert run_id(f"epochs: 3, warm_start: {second}") not in (warm, cold)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nowhere.pt", r"e.yaml:4: params.train.warm_start.sha256: no checkpoint 'nowhere.pt'; write the path of a"),
        (
            "promoted",
            r"e.yaml:4: params.train.warm_start.sha256: the checkpoints of promoted variants are filled in by",
        ),
    ],
)
def test_checkpoint_that_is_not_there_is_named(tmp_path: Path, value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(experiment(tmp_path, f"warm_start: {value}"), tmp_path)


def test_checkpoint_that_has_changed_or_is_of_another_model_is_refused(
    finished: Path, cache: Path, tmp_path: Path
) -> None:
    path = RunDir(finished / "e" / "runs" / "short").last_checkpoint
    with pytest.raises(RunFailure, match=r"last.pt is not the file any more that this run names"):
        run(tmp_path, cache, "changed", epochs=1, warm_start={"checkpoint": str(path), "sha256": "0" * 64})
    other = tmp_path / "other.pt"
    checkpoint.save(other, {"model": {"x": torch.zeros(1)}})
    with pytest.raises(RunFailure, match=r"other.pt holds the weights of another model: .*Missing key"):
        run(tmp_path, cache, "other", epochs=1, warm_start=str(other))
