"""`runner adopt`: what another program has finished becomes an experiment that status, summarize and others read."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.collect.collection import collect
from older_trainer import error_of, ratio_of
from runner.files import read_json, read_mapping
from runner.rundir.layout import ExperimentDir, RunDir
from runner.rundir.states import run_state
from runner_main import Said, run

TESTS = Path(__file__).parents[2]
EPOCHS = 15
COLUMNS = r"layer_(?P<layer>\d+)_(?P<quantity>w_graph|w_text)"
METRICS: dict[str, Any] = {
    "sources": [
        {"pattern": r"^Epoch: (?P<epoch>[\d.]+)|^Test_MAE: (?P<test_mae>\S+)"},
        {"file": "{property}/history_train.json", "names": {"train_mae": "mae", "train_loss": "loss"}},
        {"file": "{property}/history_val.json", "names": {"val_mae": "mae"}},
    ],
    "fusion": {"file": "{property}/fusion_weights.csv", "columns": COLUMNS, "first_layer": 0},
}
SECTION: dict[str, Any] = {
    "folders": "old/layers_{layers}_seed{seed}", "values": {"property": "gap"}, "log": "*.log", "metrics": METRICS,
    "predictions": {split: f"{{property}}/predictions_best_val_model_{split}.csv" for split in ("val", "test")},
}  # fmt: skip


def train(folder: Path, layers: int, seed: int, epochs: int = EPOCHS) -> None:
    folder.mkdir(parents=True)
    words = ["--output_dir", folder, "--property", "gap", "--middle_fusion_layers", layers, "--random_seed", seed]
    with (folder / "train.log").open("w") as log:
        line = [sys.executable, TESTS / "older_trainer.py", *words, "--epochs", epochs]
        subprocess.run(list(map(str, line)), stdout=log, stderr=subprocess.STDOUT, check=True)
    (folder / "config.json").write_text(json.dumps({"optimizer": {"lr": 0.001 * (layers + 1)}, "random_seed": seed}))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("older")
    for layers in (0, 2):
        for seed in (0, 1, 2):
            train(folder / f"old/layers_{layers}_seed{seed}", layers, seed)
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(trained, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def file(**changes: Any) -> Path:
    section = {key: value for key, value in {**SECTION, **changes}.items() if value is not None}
    path = Path("adopt.yaml")
    path.write_text(yaml.safe_dump({"experiment": "older", "adopt": section, "baseline": {"values.layers": 0}}))
    return path


def adopt(*options: str, **changes: Any) -> Said:
    return run("adopt", file(**changes), *options)


def runs() -> list[RunDir]:
    directory = ExperimentDir(Path("runs/older"))
    return [directory.run(each["run_id"]) for each in read_json(directory.manifest)["runs"]]  # type: ignore[index]


def test_folders_become_runs_with_metrics_weights_and_predictions(here: Path) -> None:
    done = adopt()
    assert done.status == 0, done.err
    assert [read_mapping(each.result)["seed"] for each in runs()] == [0, 1, 2, 0, 1, 2]
    last = read_mapping(runs()[5].result)
    assert last["variant"] == "layers=2"
    assert last["best_epoch"] == 10
    assert last["metrics"]["val_mae"] == error_of([2], 2, 10)
    assert last["fusion"]["3"]["ratio"] == pytest.approx(ratio_of(2), rel=1e-6)
    assert len(list(csv.DictReader(runs()[5].predictions.open()))) == 80
    variants = {each.plan.variant: each.state for each in collect(Path("runs/older")).runs}
    assert variants == {"layers=0": "completed", "layers=2": "completed"}


def test_the_file_that_ships_adopts_what_the_older_script_left(here: Path) -> None:
    Path("old").rename("output")
    done = run("adopt", TESTS.parent / "configs" / "adopt_layers.yaml", "--set", "adopt.values.property=gap")
    assert done.status == 0, done.err
    assert "6 runs read: 6 completed" in done.err
    collected = collect(Path("runs/adopt_layers"))
    assert collected.manifest.baseline == "layers=0"
    assert all({"train_mae", "val_loss", "test_mae"} <= each.result.metrics.keys() for each in collected.runs)


def test_nothing_but_text_is_written_and_the_folders_stay_as_they_were(here: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path("old").rglob("*")}
    adopt()
    assert {path: path.stat().st_mtime_ns for path in Path("old").rglob("*")} == before
    assert {path.suffix for path in Path("runs").rglob("*") if path.is_file()} <= {".json", ".jsonl", ".csv", ".yaml"}
    read = read_mapping(runs()[0].adopted)["files"]
    assert all(len(each["sha256"]) == 64 for each in read.values())
    assert "gap/history_val.json" in read


def test_a_dry_run_shows_a_row_per_folder_and_writes_nothing(here: Path) -> None:
    done = adopt("--dry-run")
    assert sum("old/layers_" in line for line in done.out.splitlines()) == 6
    assert "completed" in done.out
    assert "6 runs would be read; nothing was written" in done.err
    assert not Path("runs").exists()


def test_again_reads_only_what_has_changed(here: Path) -> None:
    adopt()
    before = [each.result.stat().st_mtime_ns for each in runs()]
    history = Path("old/layers_2_seed1/gap/history_val.json")
    content = json.loads(history.read_text())
    history.write_text(json.dumps({name: [value / 2 for value in values] for name, values in content.items()}))
    assert "1 run read; 5 unchanged" in adopt().err
    after = [each.result.stat().st_mtime_ns for each in runs()]
    assert [old != new for old, new in zip(before, after, strict=True)] == [False, False, False, False, True, False]
    assert "6 runs read" in adopt(log=None, metrics={"preset": "crysmmnet"}).err  # read in another way


def test_a_run_that_was_written_in_part_is_read_again(here: Path) -> None:
    adopt()
    runs()[0].adopted.write_text("{}")
    runs()[0].result.unlink()
    assert run_state(runs()[0]).state == "incomplete"
    assert "1 run read; 5 unchanged: 6 completed" in adopt().err


def test_a_run_without_its_end_is_incomplete_and_completes_later(here: Path) -> None:
    done = {"pattern": "^Training (completed|done)"}
    for path in Path("old").glob("*/train.log"):
        path.write_text(path.read_text() + "Training done\n" * ("seed2" not in str(path)))
    assert "4 completed, 2 incomplete" in adopt(done=done).err
    assert "2 incomplete" in run("status", "older").out
    assert run("resubmit", "older").status == 2
    with Path("old/layers_2_seed2/train.log").open("a") as log:
        log.write("Training completed\n")
    assert "1 run read; 5 unchanged: 5 completed, 1 incomplete" in adopt(done=done).err


def test_further_axes_and_seeds_come_from_a_file(here: Path) -> None:
    config = {"file": "config.json", "names": {"lr": "optimizer.lr", "seed": "random_seed"}}
    done = adopt(folders="old/layers_{layers}_*", config=config)
    assert done.status == 0, done.err
    assert [read_mapping(each.result)["seed"] for each in runs()] == [0, 1, 2, 0, 1, 2]
    assert read_mapping(runs()[0].result)["variant"] == "layers=0 lr=0.001"
    Path("old/layers_0_seed1/config.json").write_text('{"optimizer": {}, "random_seed": 1}')
    done = adopt(folders="old/layers_{layers}_*", config=config)
    assert "old/layers_0_seed1 is left out: config.json has no optimizer.lr; it has optimizer, random_seed" in done.err


def test_folders_that_mean_the_same_run_are_refused_with_both(here: Path) -> None:
    shutil.copytree("old/layers_2_seed1", "old/layers_2_seed01")
    done = adopt()
    assert done.status == 2
    assert (
        "adopt.yaml:2: adopt.folders: old/layers_2_seed01 and old/layers_2_seed1 are both layers=2, seed 1" in done.err
    )
    assert not Path("runs").exists()


def test_a_wrong_mapping_is_said_with_what_is_there(here: Path) -> None:
    wrong = {"file": "{property}/history_val.json", "names": {"val_mae": "MAE"}}
    done = adopt("--dry-run", metrics=wrong)
    assert done.status == 1
    assert "no MAE for val_mae; found" in done.err or "found loss, mae" in done.err
    assert "no run has ended with val_mae" in done.err


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"folder": "x"}, "adopt.folder: unknown key"),
        ({"folders": None}, "adopt.folders: runs come from folders or from a study, one of the two"),
        ({"metrics": None}, "adopt.metrics: missing; it says where a folder holds its metrics"),
        ({"values": {}}, "adopt.metrics: names {property}, which neither the folders nor their files nor `values` say"),
        ({"values": {"property": "gap", "seed": 1}}, "adopt.values: 'seed' has a value already"),
        ({"log": "../x.log"}, "adopt.log: found '../x.log'; write a path inside"),
        ({"log": None, "done": {"pattern": "x"}}, "adopt.done: its pattern is looked for in the files of `log`"),
        ({"done": {"pattern": "("}}, "adopt.done.pattern: is not a regular expression"),
        ({"folders": "old/layers_{layers"}, "adopt.folders: 'old/layers_{layers'"),
        ({"folders": "nowhere/{seed}"}, "adopt.folders: there is no folder nowhere"),
        ({"folders": "old/run_{layers}"}, "adopt.folders: names no run"),
        ({"folders": "old/{a}_{b}_seed{seed}x"}, "adopt.folders: names no run"),
        ({"optuna": {"storage": "x.db"}, "folders": None}, "belongs to folders; a study has its metrics"),
    ],
)
def test_mistakes_are_said_with_their_place(here: Path, changes: dict[str, Any], said: str) -> None:
    done = adopt(**changes)
    assert done.status == 2
    assert said in done.err
    assert "adopt.yaml:" in done.err
    assert not Path("runs").exists()


@pytest.mark.parametrize("key", ["task", "params", "matrix", "search"])
def test_what_belongs_to_started_runs_is_refused(here: Path, key: str) -> None:
    path = file()
    path.write_text(path.read_text() + f"{key}: " + ("command\n" if key == "task" else "{}\n"))
    assert f"{key}: belongs to runs that are started" in run("adopt", path).err


def test_adopted_runs_are_never_started(here: Path) -> None:
    path = file()
    assert "are adopted and never started\n  next: runner adopt adopt.yaml" in run("submit", path).err
    adopt()
    ours = Path("ours.yaml")
    command = {"run": "echo", "metrics": {"pattern": "(?P<val_mae>x)"}}
    ours.write_text(yaml.safe_dump({"experiment": "older", "task": "command", "params": {"command": command}}))
    for words in (["submit", ours], ["resubmit", "older"], ["run", ours, ":1"], ["supervise", "older"]):
        said = run(*words)
        assert said.status == 2
        assert "holds adopted runs of another program" in said.err
    assert all(run_state(each).state == "completed" for each in runs())


def test_submitted_runs_are_not_replaced_by_adopted_ones(here: Path) -> None:
    directory = ExperimentDir(Path("runs/older"))
    directory.path.mkdir(parents=True)
    directory.manifest.write_text(json.dumps({"experiment": "older", "task": "command", "runs": []}))
    assert "holds runs that were submitted" in adopt().err


def test_links_pipes_and_large_files_are_not_followed(here: Path) -> None:
    secret = Path("secret.json")
    secret.write_text('{"loss": [1], "mae": [1e-9]}')
    own = Path("old/layers_2_seed1/gap")
    (own / "history_val.json").unlink()
    (own / "history_val.json").symlink_to(secret.absolute())
    shutil.rmtree("old/layers_2_seed2/gap")
    Path("elsewhere").mkdir()
    shutil.copy(secret, "elsewhere/history_val.json")
    os.symlink(Path("elsewhere").absolute(), "old/layers_2_seed2/gap")
    pipe = Path("old/layers_0_seed0/gap/history_train.json")
    pipe.unlink()
    os.mkfifo(pipe)
    done = adopt()
    assert "4 completed, 2 failed" in done.err
    assert "reported no val_mae" in done.err
    assert "1e-09" not in "".join(path.read_text() for path in Path("runs").rglob("*.json*"))


def test_values_of_a_file_do_not_lead_out_of_the_folder(here: Path) -> None:
    Path("old/layers_2_seed1/config.json").write_text('{"property": "../layers_2_seed0/gap"}')
    for path in set(Path("old").glob("*/config.json")) - {Path("old/layers_2_seed1/config.json")}:
        path.write_text('{"property": "gap"}')
    done = adopt(values=None, config={"file": "config.json", "names": {"property": "property"}})
    assert "old/layers_2_seed1 is left out: found '../layers_2_seed0/gap/" in done.err


@pytest.mark.parametrize("lr", ["NaN", "1e999", '"\\ud800"', "[" * 500 + "]" * 500, '"' + "x" * 20_000 + '"'])
def test_a_value_that_no_file_can_hold_leaves_its_folder_out(here: Path, lr: str) -> None:
    Path("old/layers_0_seed1/config.json").write_text('{"optimizer": {"lr": ' + lr + "}}")
    done = adopt(config={"file": "config.json", "names": {"lr": "optimizer.lr"}})
    assert done.status == 0
    assert "5 runs read" in done.err
    assert "old/layers_0_seed1 is left out" in done.err


def test_hostile_predictions_and_names_do_no_harm(here: Path) -> None:
    own = Path("old/layers_0_seed1/gap")
    rows = [{"id": text, "target": 1, "prediction": 1} for text in ("\ud800", "=cmd|' /C calc'!A0", "\x1b[2J")]
    (own / "predictions.json").write_text(json.dumps(rows))
    (own / "history_val.json").write_text('{"mae": [0.3, 0.2], "\\ud800\\u001b[2J": [1, 2]}')
    metrics = {"file": "gap/history_val.json", "names": {"val_mae": "mae", "*": "*"}}
    done = adopt(metrics=metrics, predictions={"val": "gap/predictions.json"})
    assert done.status == 0, done.err
    assert "\x1b" not in done.err + done.out


def test_a_study_becomes_an_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(TESTS / "data" / "optuna" / "study.db", tmp_path)
    study = {"optuna": {"storage": "sqlite:///study.db", "study": "fusion", "metric": "val_mae"}}
    Path("search.yaml").write_text(yaml.safe_dump({"experiment": "search", "adopt": study}))
    said = run("adopt", "search.yaml")
    assert said.status == 0, said.err
    assert "14 runs read: 5 completed, 1 failed, 8 cancelled" in said.err
    assert "pruned by the study after epoch 2" in said.err
    collected = collect(Path("runs/search"))
    best = min((each.result.metrics["val_mae"], each.plan.variant) for each in collected.runs if each.record.completed)
    assert best == (0.27142538516595255, "trial 6")
    axes = ["values.learning_rate", "values.layers", "values.late_fusion", "values.rank"]
    assert collected.manifest.axes == axes
    assert "0 runs read; 14 unchanged" in run("adopt", "search.yaml").err
