"""`runner run`: one run here, in the foreground."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from runner import manifest
from runner.commands.loading import Loaded
from runner.layout import RunDir
from runner.selection import choose_run
from runner.states import run_state
from runner.submission import write_run


def prepare(loaded: Loaded, name: str) -> RunDir:
    """The directory of the run that `name` means, with its config.yaml and a manifest around it."""
    run = choose_run(loaded.expansion.runs, name)
    if not loaded.directory.manifest.exists():
        manifest.write(loaded.directory, loaded.expansion, loaded.experiment.task)
    target = loaded.directory.run(run.run_id)
    if run_state(target).state not in ("completed", "running"):
        write_run(loaded.directory, loaded.expansion, run)
    return target


def execute(run: RunDir) -> int:
    """Run it in a parent of its own, whose log goes to this terminal as well; its exit status."""
    command = [sys.executable, "-m", "jobs.parent", "--echo", str(run.path.absolute())]
    return subprocess.call(command, env=os.environ | {"PYTHONSAFEPATH": "1"}, cwd=Path.cwd())
