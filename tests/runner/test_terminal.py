"""What a person at the terminal sees: progress, colours, quiet, the next command after every error."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import analysis.cli
from runner.commands.status import Status, take
from runner.commands.watch import Progress, epochs
from runner.rundir.layout import ExperimentDir
from runner.terminal import quiet_first
from runner_main import run
from tiny_experiment import TESTS, environment

DEMO = TESTS.parent / "configs" / "demo.yaml"
ESCAPE = "\x1b["


@pytest.fixture
def experiment(tmp_path: Path) -> ExperimentDir:
    """Six runs as files alone: one completed, two begun, three new."""
    directory = ExperimentDir(tmp_path / "demo")
    directory.path.mkdir()
    planned = json.loads(run("expand", DEMO, "--root", tmp_path, "--format", "json").out)["runs"]
    directory.manifest.write_text(
        json.dumps({"experiment": "demo", "task": "crystal", "created": 0, "select": {"metric": "val_mae"},
                    "runs": planned})
    )  # fmt: skip
    for number, value in ((0, 0.3), (1, 0.2), (2, 0.25)):
        place = directory.run(planned[number]["run_id"])
        place.path.mkdir(parents=True)
        beat = {"epoch": 20 if number == 0 else 5, "epochs": 20, "metric": "val_mae", "value": value, "attempt": 1}
        place.heartbeat.write_text(json.dumps(beat | {"time": 0}))
    directory.run(planned[0]["run_id"]).result.write_text(json.dumps({"metrics": {"val_mae": 0.3}}))
    return directory


def looked(directory: ExperimentDir, further: int = 0) -> Status:
    """The status in which the two that have begun are running, `further` epochs on."""
    status = take(directory)
    rows = [
        (planned, replace(state, state="running", epoch=state.epoch + further) if state.state == "lost" else state)
        for planned, state in status.rows
    ]
    return replace(
        status, rows=[(planned, replace(s, state="queued") if s.state == "new" else s) for planned, s in rows]
    )


def test_progress_counts_epochs_and_foretells_the_end(experiment: ExperimentDir) -> None:
    progress = Progress()
    before = looked(experiment)
    assert epochs(before) == (30, 120)
    assert progress.line(before, 100.0) == "30 of 120 epochs; best val_mae so far 0.2 (layers=2)"
    # 10 epochs in 60 s, 80 to go
    assert progress.line(looked(experiment, 5), 160.0).startswith("40 of 120 epochs, about 8m00s left")


def test_progress_without_a_sign_says_nothing(experiment: ExperimentDir) -> None:
    status = looked(experiment)
    alone = status.only({planned.run_id for planned, state in status.rows if state.state == "queued"})
    assert Progress().line(alone, 0.0) == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["expand", "nosuch.yaml"],
        ["expand", str(DEMO), "--set", "train.epochs=x"],
        ["submit", str(DEMO), "--cluster", "nosuch.yaml"],
        ["status", "nosuch", "--root", "/nonexistent"],
        ["logs", "nosuch", "1"],
        ["run", str(DEMO), "999"],
        ["schema", "nosuch"],
        ["promote", "nosuch"],
    ],
    ids=lambda arguments: " ".join(arguments[:1]),
)
def test_every_error_ends_with_the_next_command(arguments: list[str], tmp_path: Path) -> None:
    said = run(*arguments)
    assert said.status in (1, 2)
    assert said.err.splitlines()[-1].startswith("  next: "), said.err


def test_analysis_ends_its_errors_in_the_same_way(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["analysis", "summarize", "/nonexistent"])
    with pytest.raises(SystemExit, match=r"^[12]$"):
        analysis.cli.main()
    assert "  next: " in capsys.readouterr().err.splitlines()[-1]


def test_quiet_leaves_results_and_errors(tmp_path: Path) -> None:
    assert run("init", tmp_path / "configs").err != ""
    said = run("--quiet", "init", tmp_path / "quiet")
    assert said.err == ""
    assert "demo.yaml" in said.out
    assert "error: " in run("--quiet", "expand", "nosuch.yaml").err
    assert run("init", tmp_path / "behind", "--quiet").err == ""
    assert quiet_first(["run", "a", "--", "--quiet"]) == ["run", "a", "--", "--quiet"]
    assert run("init", tmp_path / "loud").err != "", "the next command speaks again"


def in_terminal(command: list[str], **variables: str) -> str:
    """What `command` prints on a terminal."""
    mine, theirs = pty.openpty()
    done = subprocess.Popen(command, stdout=theirs, stderr=theirs, env={**environment(), "TERM": "xterm", **variables})
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(mine, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        seen += part
    os.close(mine)
    assert done.wait() == 0, seen
    return seen.decode()


def test_colours_are_for_terminals_that_want_them(experiment: ExperimentDir) -> None:
    command = [sys.executable, "-P", "-m", "runner.cli", "status", str(experiment.path)]
    piped = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    assert ESCAPE not in piped.stdout
    assert "completed" in piped.stdout
    assert f"{ESCAPE}32m" in in_terminal(command)  # green
    assert f"{ESCAPE}32m" not in in_terminal(command, NO_COLOR="1")


@pytest.mark.parametrize("columns", [80, 120])
def test_status_fits_the_terminal(experiment: ExperimentDir, columns: int) -> None:
    command = [sys.executable, "-P", "-m", "runner.cli", "status", str(experiment.path)]
    shown = re.sub(r"\x1b\[[0-9;]*m|\r", "", in_terminal(command, COLUMNS=str(columns)))
    assert max(map(len, shown.splitlines())) <= columns
    row = next(line for line in shown.splitlines() if "layers=2 " in line)
    assert {"2", "layers=2", "5/20"} <= set(row.split())


@pytest.mark.parametrize("program", ["runner", "analysis"])
def test_completion_can_be_shown(program: str) -> None:
    variable = f"_{program.upper()}_COMPLETE"
    command = [
        sys.executable,
        "-P",
        "-c",
        f"import sys; sys.argv[0] = {program!r}; from {program}.cli import main; main()",
    ]
    shown = subprocess.run(command, capture_output=True, text=True, env={**environment(), variable: "source_bash"})
    assert f"{variable}=complete_bash" in shown.stdout
    words = {"COMP_WORDS": f"{program} s", "COMP_CWORD": "1", variable: "complete_bash"}
    found = subprocess.run(command, capture_output=True, text=True, env={**environment(), **words})
    assert ("submit" if program == "runner" else "summarize") in found.stdout
