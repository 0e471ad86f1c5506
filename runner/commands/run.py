"""`runner run`: one run here, in the foreground."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from runner.commands.loading import Loaded
from runner.commands.logs import cleaned
from runner.files import open_text
from runner.rundir import manifest
from runner.rundir.layout import RunDir
from runner.rundir.states import run_state
from runner.submit.plan import RetryPlan
from runner.submit.run_files import write_run
from runner.submit.run_selection import choose_run

POLL_SECONDS = 0.1


def prepare(loaded: Loaded, name: str) -> RunDir:
    """The directory of the run that `name` means, with its config.yaml and a manifest around it."""
    manifest.refuse_adopted(loaded.directory)
    run = choose_run(loaded.expansion.runs, name)
    if not loaded.directory.manifest.exists():
        manifest.write(loaded.directory, loaded.expansion, loaded.experiment.task, loaded.advice)
    target = loaded.directory.run(run.run_id)
    if run_state(target).state not in ("completed", "running"):
        folder = str(loaded.expansion.file.path.absolute().parent)
        origin = manifest.Origin([], "local", str(Path.cwd()), config_dir=folder)
        write_run(loaded.directory, loaded.expansion, run, RetryPlan(loaded.experiment.resources), origin)
    return target


def execute(run: RunDir) -> int:
    """Start a parent for it and print its log until it ends; the parent's exit status.

    Ctrl-C reaches the parent too, which lets the run write its checkpoint; a second one is not waited for.
    """
    before = set(run.logs.glob("*.log"))
    command = [sys.executable, "-P", "-u", "-m", "jobs.node.parent", str(run.path.absolute())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        began = _echo(run, before, process)
    except KeyboardInterrupt:
        began = True
        process.wait()
    output, _ = process.communicate()
    if not began:  # it is completed, or somebody else's: the parent says so
        sys.stdout.write(output)
    return process.returncode


def _echo(run: RunDir, before: set[Path], process: subprocess.Popen[str]) -> bool:
    """Copy the log of the attempt that has just started to this terminal; False when none started."""
    new: set[Path] = set()
    while not new and process.poll() is None:
        time.sleep(POLL_SECONDS)
        new = set(run.logs.glob("*.log")) - before
    if not new:
        return False
    for text in cleaned(_written(max(new), process)):
        sys.stdout.write(text)
        sys.stdout.flush()
    return True


def _written(log: Path, process: subprocess.Popen[str]) -> Iterator[str]:
    """What `process` writes to `log`, until it ends."""
    with open_text(log) as file:
        while process.poll() is None:  # looked at before reading, so that nothing is missed
            yield file.read()
            time.sleep(POLL_SECONDS)
        yield file.read()
