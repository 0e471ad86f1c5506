"""`runner logs`: the log of a run, of its last attempt or of one that is named."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from runner.errors import CommandFailed, UserError
from runner.files import open_text
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir, RunDir
from runner.rundir.states import run_state
from runner.submit.run_selection import choose_run
from runner.submit.scheduler_snapshot import last_sendings
from runner.submit.survey import survey
from runner.terminal import log_line, tell

POLL_SECONDS = 0.5
SHOWN = 1 << 20  # bytes of a log, some 12,000 lines
QUERY_SECONDS = 10.0  # Slurm is asked less often than the file system
WAITING = ("queued", "running")


def find(directory: ExperimentDir, name: str, attempt: int | None) -> tuple[RunDir, Path]:
    """The run that `name` means and the log to show; UserError when there is none yet."""
    run = directory.run(choose_run(manifest.read(directory).runs, name).run_id)
    logs = attempt_logs(run)
    wanted = max(logs, default=None) if attempt is None else attempt
    if wanted in logs:
        return run, logs[wanted]
    if logs:
        raise UserError(
            f"{run.run_id}: no log of attempt {attempt}\n    there are: {', '.join(map(str, sorted(logs)))}"
        )
    started_by = log_of_the_start(directory, run.run_id)
    hint = f"; what started it wrote to {started_by}" if started_by else ""
    raise UserError(f"{run.run_id}: no log yet{hint}", next_command=f"runner status {directory.path.name}")


def awaited(directory: ExperimentDir, name: str, attempt: int | None) -> tuple[RunDir, Path]:
    """As `find`; a run without a log that is queued, or has just started, is waited for."""
    run = directory.run(choose_run(manifest.read(directory).runs, name).run_id)
    announced = False
    while True:
        try:
            return find(directory, name, attempt)
        except UserError:
            state = survey(directory, [run.run_id])[0][run.run_id]
            if attempt_logs(run) or state.state not in WAITING:
                raise
        if not announced:
            tell(
                f"{run.run_id} is {state.state}" + (f" ({state.message})" if state.message else "") + ": waiting for it"
            )
            announced = True
        until = time.monotonic() + QUERY_SECONDS
        while not attempt_logs(run) and time.monotonic() < until:
            time.sleep(POLL_SECONDS)


def attempt_logs(run: RunDir) -> dict[int, Path]:
    """Attempt → its log."""
    numbers = {path: path.stem.partition("-")[2] for path in run.logs.glob("attempt-*.log")}
    return {int(number): path for path, number in numbers.items() if number.isdecimal()}


def read(log: Path, most: int = SHOWN) -> str:
    """The log, or its last `most` bytes and where the rest is; CommandFailed where it is no file that can be read."""
    try:
        with open_text(log) as file:
            return _skipped(log, file, most) + file.read()
    except OSError as error:
        raise CommandFailed(f"cannot read {log}: {error.strerror}") from None


def _skipped(log: Path, file: TextIO, most: int) -> str:
    """Go to the last `most` bytes of a longer log; the line that says so."""
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - most))
    return f"[the last {most:,} of {size:,} bytes; all of it is in {log}]\n" if size > most else ""


def cleaned(parts: Iterable[str]) -> Iterator[str]:
    """A log that comes in parts as a terminal may show it; a line whose end has not come yet is kept back."""
    rest = ""
    for part in parts:
        *lines, rest = (rest + part).split("\n")
        yield from (log_line(line) + "\n" for line in lines)
    if rest:
        yield log_line(rest)


def log_of_the_start(directory: ExperimentDir, run_id: str) -> Path | None:
    """Where the pool, or the array task's own output, says why a run did not even begin; None when there is none."""
    for sent in reversed(manifest.submissions(directory)):
        if any(run_id in task for task in sent.tasks):
            sending = last_sendings(directory, [sent]).get(run_id)
            log = directory.pool_log(sent.number) if sent.kind == "local" else sending and sending.log
            return log if log and log.exists() else None
    return None


def follow(run: RunDir, log: Path) -> Iterator[str]:
    """The text of `log`, then what is appended, until the run has ended; one that has just started has no heartbeat."""
    asked = float("-inf")
    with open_text(log) as file:
        yield _skipped(log, file, SHOWN)
        while True:
            if text := file.read():
                yield text
            state = run_state(run).state
            if state != "running" and (state == "completed" or time.monotonic() - asked > QUERY_SECONDS):
                asked = time.monotonic()
                if survey(run.experiment, [run.run_id])[0][run.run_id].state not in WAITING:
                    yield file.read()
                    return
            time.sleep(POLL_SECONDS)
