"""A training script of the older kind over layers and seeds, killed and resumed: read as well as our own task."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from older_trainer import error_of, ratio_of
from runner.files import read_json, read_json_lines
from runner.rundir.layout import ExperimentDir, RunDir
from tiny_experiment import TESTS, environment

EPOCHS = 15
COLUMNS = r"layer_(?P<layer>\d+)_(?P<quantity>w_graph|w_text)"
WORDS = [
    "{python}", "older_trainer.py", "--output_dir", "{out}", "--property", "{property}", "--random_seed", "{seed}",
    "--middle_fusion_layers", "{layers}", "--epochs", "{epochs}", "--die_after", "{dies}",
]  # fmt: skip
METRICS = {
    "sources": [
        {"pattern": r"^Epoch: (?P<epoch>[\d.]+)|^Test_MAE: (?P<test_mae>\S+)"},
        {"file": "{property}/history_train.json", "names": {"train_mae": "mae", "train_loss": "loss"}},
        {"file": "{property}/history_val.json", "names": {"val_mae": "mae"}},
    ],
    "fusion": {"file": "{property}/fusion_weights.csv", "columns": COLUMNS, "first_layer": 0},
}
PREDICTIONS = {split: f"{{property}}/predictions_best_val_model_{split}.csv" for split in ("val", "test")}


def experiment(folder: Path, metrics: dict[str, Any] = METRICS, layers: list[list[int]] = [[0], [2]]) -> Path:  # noqa: B006
    shutil.copy(TESTS / "older_trainer.py", folder)
    command = {
        "run": WORDS, "resume": [*WORDS, "--resume", "{checkpoint}"], "checkpoint": "{property}/checkpoint_*.pt",
        "metrics": metrics, "predictions": PREDICTIONS,
    }  # fmt: skip
    content = {
        "experiment": "older", "task": "command", "baseline": {"values.layers": layers[0]},
        "params": {"command": command, "values": {"property": "gap", "epochs": EPOCHS, "dies": 7}},
        "matrix": {"axes": {"values.layers": layers}, "seeds": [0, 1, 2]}, "retry": {"max_attempts": 3},
    }  # fmt: skip
    path = folder / "older.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def command(folder: Path, *words: object, module: str = "runner.cli") -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-P", "-m", module, *map(str, words)]
    return subprocess.run(line, env=environment(), cwd=folder, capture_output=True, text=True, timeout=300)


def summary(folder: Path) -> list[dict[str, Any]]:
    done = command(folder, "summarize", "older", "--format", "json", module="analysis.cli")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["variants"]


def runs(folder: Path) -> list[RunDir]:
    directory = ExperimentDir(folder / "runs" / "older")
    return [directory.run(run["run_id"]) for run in read_json(directory.manifest)["runs"]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("older")
    killed = command(folder, "submit", experiment(folder), "--wait")
    assert "6 failed" in killed.stderr
    done = command(folder, "resubmit", "older", "--wait")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "copy")
    return tmp_path / "copy"


def test_killed_and_resumed_runs_have_every_epoch_once_with_the_right_numbers(trained: Path) -> None:
    for run in runs(trained):
        params = read_json(run.values)
        errors = [error_of(params["layers"], params["seed"], epoch) for epoch in range(1, EPOCHS + 1)]
        lines = read_json_lines(run.metrics)
        assert [line["epoch"] for line in lines] == list(range(1, EPOCHS + 1))
        assert [line["val_mae"] for line in lines] == pytest.approx(errors)
        assert [line["train_mae"] for line in lines] == pytest.approx([0.8 * error for error in errors])
        result = read_json(run.result)
        assert (result["attempts"], result["best_epoch"], result["epochs"]) == (2, 10, EPOCHS)
        assert result["metrics"]["test_mae"] == pytest.approx(errors[9] + 0.02)
        rows = run.fusion_weights.read_text().splitlines()
        assert [row.split(",")[:2] for row in rows[1:]] == [
            [str(at), str(params["layers"][0] + 1)] for at in (5, 10, 15)
        ]


def test_older_program_is_ranked_with_ratio_band_and_interval(trained: Path) -> None:
    first, second = summary(trained)
    assert (first["variant"], second["variant"]) == ("layers=0", "layers=2")
    assert first["fusion"]["1"]["ratio"] == pytest.approx(ratio_of(0))  # the running means lacked 37 % in epoch 5
    assert first["fused_layers"] == 1
    assert (first["band"], second["band"]) == ("text-heavy", "graph-dominant")
    assert (first["health"], second["health"]) == ("warning", "ok")  # the sizes of the terms are not known
    assert second["test"]["mean"] == pytest.approx(sum(error_of([2], seed, 10) for seed in range(3)) / 3 + 0.02)
    shown = command(trained, "summarize", "older", "-v", module="analysis.cli").stdout
    assert "paired over 40 items and 3 seeds" in shown
    assert "both were divided by their sum" in re.sub(r"\s+", " ", shown)


def test_weights_and_compare_work_as_for_our_own_task(trained: Path) -> None:
    weights = command(trained, "weights", "older", "--format", "json", module="analysis.cli")
    assert weights.returncode == 0, weights.stderr
    assert {row["layer"] for row in json.loads(weights.stdout)} == {"1", "3"}
    one, *_, other = (run.path for run in runs(trained))
    compared = command(trained, "compare", one, other, module="analysis.cli")
    assert "val split: 40 items" in compared.stdout, compared.stderr


def test_corrected_mapping_is_read_anew_without_training(copied: Path) -> None:
    expected = {run.run_id: read_json(run.result) for run in runs(copied)}
    before = {run.run_id: run.attempts.read_text() for run in runs(copied)}
    wrong = {**METRICS, "fusion": {**METRICS["fusion"], "first_layer": 1, "normalise": "never"}}
    wrong["sources"] = [*METRICS["sources"][:2], {"file": "{property}/history_val.json", "names": {"val_mae": "loss"}}]
    done = command(copied, "reread", experiment(copied, wrong))
    assert done.returncode == 0, done.stderr
    assert "its first layer is 0; set metrics.fusion.first_layer: 0" in done.stdout
    assert all(read_json(run.result)["metrics"] != expected[run.run_id]["metrics"] for run in runs(copied))
    experiment(copied)
    assert command(copied, "reread", "older").returncode == 0
    for run in runs(copied):
        result = read_json(run.result)
        for name in ("metrics", "best_epoch", "epochs", "fusion", "seconds", "attempts", "health"):
            assert result[name] == expected[run.run_id][name], name
        assert run.attempts.read_text() == before[run.run_id]
        assert [line["epoch"] for line in read_json_lines(run.metrics)] == list(range(1, EPOCHS + 1))


def test_mapping_without_the_followed_metric_changes_nothing(copied: Path) -> None:
    before = {run.run_id: (run.result.read_bytes(), run.metrics.read_bytes()) for run in runs(copied)}
    done = command(copied, "reread", experiment(copied, {"file": "{property}/history_val.json"}))
    assert done.returncode == 1
    assert "reported no val_mae; looked in {out}/{property}/history_val.json, found loss, mae" in done.stdout
    assert before == {run.run_id: (run.result.read_bytes(), run.metrics.read_bytes()) for run in runs(copied)}


def test_other_changes_are_refused(copied: Path) -> None:
    done = command(copied, "reread", experiment(copied, layers=[[0], [1]]))
    assert done.returncode == 2
    assert "changes more than how metrics are read: 6 runs are new or gone" in done.stderr


def test_the_folders_alone_adopted_give_the_same_table(copied: Path) -> None:
    for run in runs(copied):
        config = yaml.safe_load(run.config.read_text())
        layers = "-".join(map(str, config["params"]["values"]["layers"]))
        folder = copied / f"folders/layers_{layers}_seed{config['seed']}"
        shutil.copytree(run.output, folder)
        shutil.copytree(run.logs, folder / "logs")
    adopt = {
        "folders": "folders/layers_{layers}_seed{seed}", "values": {"property": "gap"}, "log": "logs/*.log",
        "metrics": METRICS, "predictions": PREDICTIONS,
    }  # fmt: skip
    content = {"experiment": "alone", "adopt": adopt, "baseline": {"values.layers": 0}}
    (copied / "alone.yaml").write_text(yaml.safe_dump(content))
    done = command(copied, "adopt", "alone.yaml")
    assert done.returncode == 0, done.stderr
    tables = []
    for name in ("older", "alone"):
        assert command(copied, "summarize", name, module="analysis.cli").returncode == 0
        rows = csv.DictReader((copied / f"runs/{name}/analysis/results_summary.csv").read_text().splitlines())
        # a folder's name says 0 where the experiment file says [0]
        tables.append([{key: cell.strip("[]") for key, cell in row.items() if key != "seconds"} for row in rows])
    assert tables[0] == tables[1]
    assert len(tables[0]) == 2
    weights = [json.loads(command(copied, "weights", name, "--format", "json", module="analysis.cli").stdout)
               for name in ("older", "alone")]  # fmt: skip
    numbers = [[{key: row[key] for key in row.keys() - {"variant", "run_id"}} for row in rows] for rows in weights]
    assert numbers[0] == numbers[1]
    compared = [command(copied, "compare", "layers=0", "layers=2", "-e", name, module="analysis.cli").stdout
                for name in ("older", "alone")]  # fmt: skip
    assert compared[0] == compared[1]
    assert "val split: 40 items, 3 paired seeds" in compared[0]
    pages = [ExperimentDir(copied / "runs" / name).report.read_text() for name in ("older", "alone")]
    shown = [re.findall(r'"(?:ratio|band|difference)": ?[^,}]+', page) for page in pages]
    assert shown[0] == shown[1] != []
