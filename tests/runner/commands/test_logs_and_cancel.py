"""`runner logs`, `runner cancel` and `runner run` with real runs of a tiny task."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runner.files import read_mapping, write_json
from runner.rundir.layout import ExperimentDir
from runner.rundir.states import run_state
from runner_main import run
from tiny_experiment import TESTS, environment, wait_until

TEXT = """
experiment: tiny
task: tiny_task:TinyTask
params: {train: {epochs: 1000, epoch_seconds: 0.05}}
matrix: {axes: {at_epoch: [1, 2, 3]}}
select: {metric: val_loss}
array: {max_parallel: 2, runs_per_task: 1}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(TESTS)
    for name, value in environment(RUNNER_ROOT=str(tmp_path / "runs")).items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "tiny.yaml"
    path.write_text(TEXT)
    return path


def runs(tmp_path: Path) -> list[str]:
    found = json.loads(run("expand", tmp_path / "tiny.yaml", "--format", "json").out)
    return [planned["run_id"] for planned in found["runs"]]


def directory(tmp_path: Path) -> ExperimentDir:
    return ExperimentDir(tmp_path / "runs" / "tiny")


def wait_for(tmp_path: Path, run_id: str, state: str) -> None:
    wait_until(lambda: run_state(directory(tmp_path).run(run_id)).state == state, 30, f"{run_id} {state}")


@pytest.mark.parametrize("together", [1, 2], ids=["alone", "beside another in its array task"])
def test_one_of_several_running_runs_is_cancelled_and_the_others_go_on(
    config: Path, tmp_path: Path, together: int
) -> None:
    assert run("submit", config, "--set", f"array.runs_per_task={together}").status == 0
    first, second, third = runs(tmp_path)
    for run_id in (first, second):
        wait_until(directory(tmp_path).run(run_id).last_checkpoint.exists, 30, "a checkpoint")
    said = run("cancel", "tiny", "at_epoch=2")
    assert (said.out, said.err) == (f"{second}\n", "1 run cancelled\n")
    wait_for(tmp_path, second, "cancelled")
    assert run_state(directory(tmp_path).run(first)).state == "running"
    assert run("cancel").err == "2 runs cancelled\n"
    wait_for(tmp_path, first, "cancelled")
    wait_for(tmp_path, third, "cancelled")
    assert run("cancel").err == "no run to cancel\n"


def test_only_states_that_can_be_cancelled_are_allowed(config: Path) -> None:
    run("submit", config)
    said = run("cancel", "--state", "runing")
    assert said.status == 2
    assert "--state runing: such runs cannot be cancelled\n    allowed: queued, running, lost, gone\n" in said.err
    assert "did you mean: running" in said.err
    assert run("cancel", "--state", "queued", "--state", "running").err == "3 runs cancelled\n"


def attempt(tmp_path: Path, run_id: str, number: int, text: str) -> None:
    log = directory(tmp_path).run(run_id).log(number)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text)


@pytest.fixture
def planned(config: Path, tmp_path: Path) -> list[str]:
    """Runs that are listed, with no process behind them."""
    run("submit", config)
    run("cancel")
    ids = runs(tmp_path)
    wait_until(lambda: read_mapping(directory(tmp_path).pool_state(1)).get("ended"), 30, "end of the pool")
    for run_id in ids:
        for log in directory(tmp_path).run(run_id).logs.glob("*"):
            log.unlink()
    return ids


def test_the_last_log_is_shown_unless_another_attempt_is_named(planned: list[str], tmp_path: Path) -> None:
    for number in (2, 9, 10):
        attempt(tmp_path, planned[0], number, f"attempt {number}\n")
    attempt(tmp_path, planned[0], 3, "")
    directory(tmp_path).run(planned[0]).logs.joinpath("attempt-10-notes.log").touch()
    assert run("logs", "tiny", "1").out == "attempt 10\n"
    assert run("logs", "tiny", "1", "--attempt", "2").out == "attempt 2\n"
    said = run("logs", "tiny", "1", "--attempt", "5")
    assert said.status == 2
    assert said.err.startswith(f"error: {planned[0]}: no log of attempt 5\n    there are: 2, 3, 9, 10\n")


def test_a_run_without_a_log_says_where_its_start_was_written(planned: list[str], tmp_path: Path) -> None:
    said = run("logs", "tiny", planned[2])
    assert said.status == 2
    assert f"{planned[2]}: no log yet; what started it wrote to {directory(tmp_path).pool_log(1)}" in said.err
    assert "next: runner status tiny" in said.err


def test_following_a_log_ends_with_the_run(planned: list[str], tmp_path: Path) -> None:
    attempt(tmp_path, planned[0], 1, "first\n")
    write_json(directory(tmp_path).run(planned[0]).result, {"metrics": {}})
    assert run("logs", "tiny", "1", "-f").out == "first\n"


@pytest.mark.usefixtures("planned")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("99", "no run '99' among 3\n    allowed: an id or its start, axis values"),
        ("at-epoch", "'at-epoch' means 3 runs: at-epoch-1-s0-"),
        ("at-epoch-1-s0-00000000", "did you mean: at-epoch-1-s0-"),
    ],
)
def test_a_run_that_is_not_clear_is_asked_for(name: str, message: str) -> None:
    said = run("logs", "tiny", name)
    assert said.status == 2
    assert message in said.err


def test_a_completed_run_is_not_trained_again_in_the_foreground(config: Path, tmp_path: Path) -> None:
    short = [config, "1", "--set", "train.epochs=1"]
    assert "completed" in run("run", *short).out
    again = run("run", *short)
    assert again.status == 0
    assert "completed" in again.out
    assert "starts after epoch" not in again.out


def test_ctrl_c_in_the_foreground_lets_the_run_write_its_checkpoint(config: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "runner.cli", "run", str(config), "1"]
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    target = directory(tmp_path).run(runs(tmp_path)[0])
    wait_until(target.last_checkpoint.exists, 30, "a checkpoint")
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert "Traceback" not in told
    assert process.returncode == 1
    assert run_state(target).state == "cancelled"
    assert target.last_checkpoint.exists()


def test_following_a_queued_run_waits_for_its_log(config: Path, tmp_path: Path) -> None:
    short = ["--set", "train.epochs=20", "--set", "array.max_parallel=1"]
    assert run("submit", config, *short).status == 0
    last = json.loads(run("expand", config, *short, "--format", "json").out)["runs"][-1]["run_id"]
    followed = run("logs", "tiny", last, "-f")
    assert f"{last} is queued" in followed.err
    assert f"{last}: completed" in followed.out
