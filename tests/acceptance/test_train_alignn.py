"""configs/train_alignn.yaml: a program that is not ours, stopped, resumed and ranked."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from jobs.tasks.crystal.data.export import main as export
from runner.files import read_json, read_json_lines
from runner.rundir.layout import ExperimentDir, RunDir
from tiny_experiment import environment, parent_command, wait_until

CONFIG = Path(__file__).parents[2] / "configs" / "train_alignn.yaml"
EPOCHS = 40  # an epoch takes a fifth of a second here: the run must still be under way when it is stopped
SMALL = ("--set", f"values.epochs={EPOCHS}", "--set", "matrix.axes.values.hidden=[16]", "--set", "baseline=null")


def call(here: Path, module: str, *words: str) -> str:
    command = [sys.executable, "-P", "-m", module, *words]
    done = subprocess.run(command, env=environment(), cwd=here, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def losses(run: RunDir) -> list[float]:
    """Its validation losses, of epochs 1, 2, 3 and so on."""
    lines = read_json_lines(run.metrics)
    assert [line["epoch"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["val_loss"] for line in lines]


def variants(here: Path, experiment: str) -> dict[str, dict[str, Any]]:
    text = call(here, "analysis.cli", "summarize", experiment, "--format", "json")
    return {row["variant"].rpartition("=")[2]: row for row in json.loads(text)["variants"]}


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


def test_alignns_own_histories_give_one_table_as_runs_and_adopted(tmp_path: Path) -> None:
    export(["jarvis_minerals", "formation_energy_peratom", str(tmp_path / "alignn_data"), "--count", "20"])
    content = yaml.safe_load(CONFIG.read_text())
    del content["baseline"]
    content["experiment"] = "own"
    content["params"]["command"]["metrics"] = {"preset": "alignn", "epochs": "{epochs}"}
    content["params"]["values"]["epochs"] = 2 * EPOCHS
    content["matrix"]["axes"] = {"values.hidden": [16], "values.learning_rate": [0.001, 0.005]}
    content["select"] = {"metric": "val_loss", "within": "5%"}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
    call(tmp_path, "runner.cli", "submit", "own.yaml", "--only", "0.001", "--wait")

    # The other run is killed, then sent back to the queue, then ended by its time limit.
    call(tmp_path, "runner.cli", "submit", "own.yaml", "--only", "0.005")
    directory = ExperimentDir(tmp_path / "runs" / "own")
    run, calm = sorted(
        (directory.run(path.name) for path in directory.runs.iterdir()), key=lambda one: one.result.exists()
    )

    def stop(attempt: int, signalled: str, number: int) -> None:
        def learning() -> Any:
            beat = read_json(run.heartbeat)
            lines = read_json_lines(run.metrics)
            under_way = beat and beat["attempt"] == attempt
            return under_way and sum(line["attempt"] == attempt for line in lines) >= 3 and beat

        beat = wait_until(learning, 120, f"three epochs of attempt {attempt}")
        os.kill(beat[signalled], number)
        wait_until(lambda: ended(attempt), 60, f"the end of attempt {attempt}")

    def ended(attempt: int) -> list[str]:
        return [
            line.get("kind") or line["outcome"]
            for line in read_json_lines(run.attempts)
            if "ended" in line and line["attempt"] == attempt
        ]

    stop(1, "pid", signal.SIGKILL)
    job = {"SLURM_JOB_ID": "7", "PATH": "/nonexistent", "RUNNER_TIME_LIMIT_S": "120"}
    for attempt, number in ((2, signal.SIGTERM), (3, signal.SIGUSR2)):
        parent = subprocess.Popen(parent_command(run), env=environment(**job), cwd=tmp_path)
        stop(attempt, "parent_pid", number)
        parent.wait(60)
    subprocess.run(parent_command(run), env=environment(), cwd=tmp_path, check=True, capture_output=True)
    assert [*map(ended, (1, 2, 3, 4))] == [["killed"], ["cancelled"], ["timeout"], ["completed"]]
    assert len(losses(calm)) == 2 * EPOCHS
    # It writes an epoch into its history after it has saved it: each stop can lose the row of one
    assert 2 * EPOCHS - 3 <= len(losses(run)) <= 2 * EPOCHS

    # Afterwards its folders alone, which of the stopped run hold what its last start has written
    for name, one in (("0.005", run), ("0.001", calm)):
        shutil.copytree(one.output, tmp_path / f"folders/rate_{name}")
    adopt = {"folders": "folders/rate_{learning_rate}", "metrics": {"preset": "alignn"}}
    (tmp_path / "alone.yaml").write_text(yaml.safe_dump({"experiment": "alone", "adopt": adopt}))
    call(tmp_path, "runner.cli", "adopt", "alone.yaml")
    trained, adopted = variants(tmp_path, "own"), variants(tmp_path, "alone")
    assert trained.keys() == adopted.keys() == {"0.001", "0.005"}
    assert adopted["0.001"]["val"] == trained["0.001"]["val"]
    last = [line["val_loss"] for line in read_json_lines(run.metrics) if line["attempt"] == 4]
    assert trained["0.005"]["val"]["mean"] == min(losses(run))
    assert adopted["0.005"]["val"]["mean"] == min(last)
