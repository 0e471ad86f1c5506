"""What `runner failures` says of a command: the program's own last lines, and a next command that sends something."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from runner.files import write_json
from runner.rundir.layout import ExperimentDir
from runner.submit.schedulers import local
from runner_main import run
from tiny_experiment import environment, wait_until

KEYS_OF_CRYSTALS = ("train.batch_size", "train.learning_rate", "gradient_clip", "micro_batch")


@pytest.fixture
def failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentDir:
    """An experiment of one command that raised an error."""
    monkeypatch.chdir(tmp_path)
    for name, value in environment(RUNNER_ROOT=str(tmp_path / "runs")).items():
        monkeypatch.setenv(name, value)
    Path("train.py").write_text("print('loading')\ndata = {}\ndata['crystals']\n")
    command = {"run": [sys.executable, "train.py"], "metrics": {"file": "x.csv"}}
    content = {"experiment": "e", "task": "command", "params": {"command": command}}
    Path("e.yaml").write_text(yaml.safe_dump(content))
    assert run("submit", "e.yaml", "--wait").status == 1
    return ExperimentDir(tmp_path / "runs" / "e")


def test_failures_shows_the_programs_traceback_and_not_ours(failed: ExperimentDir) -> None:
    shown = run("failures").out
    lines = [line[4:] for line in shown.splitlines() if line.startswith("  | ")]
    assert (lines[0], lines[-1]) == ("Traceback (most recent call last):", "KeyError: 'crystals'")
    assert "session.py" not in shown
    assert not [key for key in KEYS_OF_CRYSTALS if key in shown]


def fail_with(failed: ExperimentDir, kind: str, attempt: int) -> str:
    (directory,) = failed.runs.iterdir()
    failure = {"kind": kind, "message": "m", "traceback": "", "attempt": attempt, "time": 1.0}
    wait_until(
        lambda: local.report(failed, 1) is None, 20, "the end of the pool, which may write failure.json once more"
    )
    write_json(failed.run(directory.name).failure, failure)
    return str(run("failures").out)


@pytest.mark.parametrize(("kind", "attempt"), [("timeout", 3), ("gpu_out_of_memory", 1)])
def test_next_command_sends_what_the_policy_would_leave(failed: ExperimentDir, kind: str, attempt: int) -> None:
    shown = fail_with(failed, kind, attempt)
    assert "not sent again by itself: " in shown
    assert f"runner resubmit e --kind {kind} --force" in shown
    assert not [key for key in KEYS_OF_CRYSTALS if key in shown]


def test_next_command_does_not_force_what_is_retried(failed: ExperimentDir) -> None:
    assert "--force" not in fail_with(failed, "timeout", 2)
