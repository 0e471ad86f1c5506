"""configs/train_alignn.yaml: a program that is not ours, stopped, resumed and ranked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from jobs.tasks.crystal.data.export import main as export
from runner.files import read_json, read_json_lines
from runner.rundir.layout import ExperimentDir
from tiny_experiment import environment, parent_command, wait_until

CONFIG = Path(__file__).parents[2] / "configs" / "train_alignn.yaml"
EPOCHS = 40  # an epoch takes a fifth of a second here: the run must still be under way when it is stopped
SMALL = ("--set", f"values.epochs={EPOCHS}", "--set", "matrix.axes.values.hidden=[16]", "--set", "baseline=null")


def call(here: Path, module: str, *words: str) -> str:
    command = [sys.executable, "-P", "-m", module, *words]
    done = subprocess.run(command, env=environment(), cwd=here, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_alignns_own_trainer_is_searched_resumed_and_ranked(tmp_path: Path) -> None:
    export(["jarvis_minerals", "formation_energy_peratom", str(tmp_path / "alignn_data"), "--count", "20"])
    call(tmp_path, "runner.cli", "submit", str(CONFIG), *SMALL, "--only", "16 0.001", "--wait")
    directory = ExperimentDir(tmp_path / "runs" / "train_alignn")
    call(tmp_path, "runner.cli", "submit", str(CONFIG), *SMALL, "--only", "16 0.005")
    (run,) = [directory.run(path.name) for path in directory.runs.iterdir() if "0.005" in path.name]
    wait_until(lambda: read_json_lines(run.metrics), 120, "the first epoch")
    os.kill(read_json(run.heartbeat)["parent_pid"], signal.SIGTERM)
    wait_until(lambda: read_json(run.failure) and not read_json(run.failure).get("provisional"), 60, "its end")
    subprocess.run(parent_command(run), env=environment(), cwd=tmp_path, check=True, capture_output=True)
    assert "Resuming from epoch" in run.log(2).read_text()
    told = read_json_lines(run.metrics)
    epochs = {number: [line["epoch"] for line in told if line["attempt"] == number] for number in (1, 2)}
    first, second = epochs[1], epochs[2]
    assert first == list(range(1, len(first) + 1))
    assert second == list(range(second[0], EPOCHS + 1))
    # Each stands there once, but for one that it had saved and not yet printed when it was stopped
    assert second[0] - first[-1] in (1, 2)
    found = json.loads(call(tmp_path, "analysis.cli", "summarize", "train_alignn", "--format", "json"))
    assert {its["variant"] for its in found["variants"]} == {
        "hidden=16 learning_rate=0.001",
        "hidden=16 learning_rate=0.005",
    }
    assert all(its["val"]["mean"] > 0 for its in found["variants"])
