"""`runner` as a person calls it: in this process where that is enough, else in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.launch import python_path
from runner import cli

TESTS = Path(__file__).parent
TINY = """\
experiment: tiny
task: tiny_task:TinyTask
params: {train: {epochs: 2}}
matrix:
  axes: {at_epoch: [1, 2]}
  seeds: [0, 1]
"""


@dataclass(frozen=True)
class Answer:
    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Runner:
    """Calls commands in the folder `home`, which holds nothing but what a test writes."""

    home: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def write(self, text: str, name: str = "e.yaml") -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def __call__(self, *arguments: str | Path) -> Answer:
        self.monkeypatch.setattr(sys, "argv", ["runner", *map(str, arguments)])
        status = 0
        self.capsys.readouterr()
        try:
            cli.main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
        captured = self.capsys.readouterr()
        return Answer(status, captured.out, captured.err)

    def files(self) -> set[str]:
        """Everything below the folder."""
        return {str(path.relative_to(self.home)) for path in self.home.rglob("*")}


def process(
    *arguments: str | Path, cwd: Path, python: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """`runner` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-P", *python, "-m", "runner.cli", *map(str, arguments)],
        cwd=cwd,
        env=process_environment(**environment),
        capture_output=True,
        text=True,
        timeout=120,
    )


def process_environment(**changes: str) -> dict[str, str]:
    path = os.pathsep.join([python_path(os.environ), str(TESTS)])
    return {**os.environ, "PYTHONPATH": path, "RUNNER_HEARTBEAT_S": "0.5", **changes}
