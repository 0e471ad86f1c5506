"""The commands as a person uses them, on the local pool."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from runner.files import read_json
from runner.layout import ExperimentDir
from runner_main import run
from tiny_experiment import TESTS, environment, wait_until

NO_TORCH = """\
import sys
from unittest.mock import patch
from runner.cli import main
with patch.object(sys, "argv", ["runner", *sys.argv[1:]]):
    try:
        main()
    except SystemExit as left:
        status = left.code or 0
assert not {"torch", "transformers", "jarvis", "pandas"} & set(sys.modules), "heavy import"
sys.exit(status)
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four tiny runs; the working directory holds their task."""
    monkeypatch.chdir(TESTS)
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    content = {
        "experiment": "tiny",
        "task": "tiny_task:TinyTask",
        "params": {"train": {"epoch_seconds": 0.05}},
        "matrix": {"axes": {"train.epochs": [1, 2]}, "seeds": [0, 1]},
        "select": {"metric": "val_loss"},
        "array": {"max_parallel": 2},
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_help_answers_at_once() -> None:
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-P", "-m", "runner.cli", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "submit" in done.stdout
    times = os.times()
    assert time.perf_counter() - began < 0.5 or times.children_user < 0.5  # a busy machine may keep it waiting


@pytest.mark.parametrize("command", [["--help"], ["expand"], ["expand", "--format", "csv"], ["submit", "--dry-run"]])
def test_looking_at_a_search_imports_nothing_heavy(tmp_path: Path, command: list[str]) -> None:
    demo = [] if command == ["--help"] else [str(TESTS.parent / "configs" / "demo.yaml"), "--root", str(tmp_path)]
    line = [sys.executable, "-P", "-c", NO_TORCH, command[0], *demo, *command[1:]]
    done = subprocess.run(line, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr


def test_expand_as_json_holds_the_contract(config: Path) -> None:
    found = json.loads(run("expand", config, "--format", "json").out)
    assert found["experiment"] == "tiny"
    assert len(found["runs"]) == 4
    assert {"run_id", "variant", "seed", "axes", "params"} <= set(found["runs"][0])


def test_expand_as_csv_quotes_lists(tmp_path: Path) -> None:
    text = run("expand", TESTS.parent / "configs" / "demo.yaml", "--format", "csv", "--root", tmp_path).out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["model.middle_fusion.layers"] for row in rows][3:] == ["[2, 3]", "[1, 2, 3]", ""]


@pytest.mark.slow
@pytest.mark.parametrize("axes", [
    {"train.learning_rate": 100, "train.weight_decay": 100, "train.epochs": 10},
    {"train.learning_rate": 100, "model.dropout": 100, "data.seed": 10},
], ids=["one section", "several sections"])  # fmt: skip
def test_hundred_thousand_runs_expand_in_five_seconds(tmp_path: Path, axes: dict[str, int]) -> None:
    small = {
        key: [1 + i if key.endswith(("epochs", "seed")) else (i + 1) / 1e4 for i in range(n)] for key, n in axes.items()
    }
    content = {"experiment": "big", "params": {"data": {"dataset": "mp6k"}}, "matrix": {"axes": small}}
    (tmp_path / "big.yaml").write_text(yaml.safe_dump(content))
    line = [sys.executable, "-P", "-c", NO_TORCH, "expand", str(tmp_path / "big.yaml"), "--format", "csv"]
    before = os.times()
    done = subprocess.run(line, capture_output=True, text=True, env=environment())
    after = os.times()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 100_001
    # processor time: what a quiet machine takes, since the command neither waits nor uses a second core
    assert after.children_user + after.children_system - before.children_user - before.children_system < 5


def test_search_from_submission_to_its_end(config: Path, tmp_path: Path) -> None:
    sent = run("submit", config, "--root", tmp_path, "--wait")
    assert sent.status == 0, sent.err
    assert "sent 4 runs" in sent.err
    status = json.loads(run("status", "tiny", "--root", tmp_path, "--format", "json").out)
    assert status["counts"] == {"completed": 4}
    again = run("submit", config, "--root", tmp_path)
    assert "nothing to send" in again.err
    log = run("logs", "tiny", "1@0", "--root", tmp_path)
    assert "starts after epoch 0" in log.out
    assert run("failures", "--root", tmp_path).out == "no run has failed\n"


def test_runs_under_way_are_not_sent_again_and_can_be_cancelled(config: Path, tmp_path: Path) -> None:
    slow = [config, "--root", tmp_path, "--set", "train.epoch_seconds=30"]
    assert run("submit", *slow).status == 0
    assert "4 queued or running" in run("submit", *slow).err
    assert "4 runs cancelled" in run("cancel", "tiny", "--root", tmp_path).err
    wait_until(lambda: (read_json(ExperimentDir(tmp_path / "tiny").pool_state(1)) or {}).get("ended"), 30, "the end")
    status = json.loads(run("status", "--root", tmp_path, "--format", "json").out)
    assert status["counts"] == {"cancelled": 4}
    assert "not retried by the policy" in run("submit", *slow).err


def test_only_a_part_is_sent(config: Path, tmp_path: Path) -> None:
    assert "sent 2 runs" in run("submit", config, "--root", tmp_path, "--only", "epochs=1", "--wait").err
    status = json.loads(run("status", "--root", tmp_path, "--format", "json").out)
    assert status["counts"] == {"completed": 2, "new": 2}


def test_one_run_in_the_foreground_shows_its_log(config: Path, tmp_path: Path) -> None:
    said = run("run", config, "2@1", "--root", tmp_path)
    assert said.status == 0, said.err
    assert "starts after epoch 0" in said.out


def test_init_writes_starters_and_does_not_overwrite(tmp_path: Path) -> None:
    written = run("init", tmp_path / "configs")
    assert written.status == 0
    assert (tmp_path / "configs" / "clusters" / "slurm.yaml").exists()
    assert run("expand", tmp_path / "configs" / "demo.yaml", "--root", tmp_path).status == 0
    again = run("init", tmp_path / "configs")
    assert again.status == 2
    assert "exists" in again.err
    assert "runner init --force" in again.err
