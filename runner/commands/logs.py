"""`runner logs`: the log of a run, of its last attempt or of one that is named."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from runner import manifest
from runner.errors import UserError
from runner.layout import ExperimentDir, RunDir
from runner.selection import choose_run
from runner.states import run_state

POLL_SECONDS = 0.5


def find(directory: ExperimentDir, name: str, attempt: int | None) -> tuple[RunDir, Path]:
    """The run that `name` means and the log to show; UserError when there is none yet."""
    run = directory.run(choose_run(manifest.read(directory).runs, name).run_id)
    logs = sorted(run.logs.glob("attempt-*.log"), key=lambda path: int(path.stem.partition("-")[2]))
    if attempt is not None:
        logs = [path for path in logs if path == run.log(attempt)]
    if not logs:
        which = "no log yet" if attempt is None else f"no log of attempt {attempt}"
        raise UserError(f"{run.run_id}: {which}", next_command=f"runner status {directory.path.name}")
    return run, logs[-1]


def follow(run: RunDir, log: Path) -> Iterator[str]:
    """The text of `log`, then what is appended, until the run has ended."""
    with log.open(encoding="utf-8", errors="replace") as file:
        while True:
            if text := file.read():
                yield text
            elif run_state(run).state not in ("running", "queued"):
                yield file.read()
                return
            else:
                time.sleep(POLL_SECONDS)
