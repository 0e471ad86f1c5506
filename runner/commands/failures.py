"""`runner failures`: why each failed run failed, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from runner.commands.logs import attempt_logs, cleaned, log_of_the_start, read
from runner.commands.status import Status
from runner.errors import CommandFailed
from runner.files import as_count
from runner.rundir.failures import Failure, Kind, is_retried, read_failure
from runner.rundir.layout import ExperimentDir, RunDir
from runner.rundir.planned import PlannedRun
from runner.rundir.states import RunState
from runner.submit.plan import tries

LOG_BYTES = 64 << 10  # at the end of a log, in which the last lines are looked for
LOG_LINES = 8


def blocks(status: Status) -> Iterator[str]:
    """One block of lines for each run that failed, was lost or was cancelled."""
    for run, state in status.rows:
        if state.state in ("failed", "lost", "cancelled"):
            yield "\n".join(_lines(status, run, state))


def _lines(status: Status, run: PlannedRun, state: RunState) -> list[str]:
    name, target, kind = status.manifest.experiment, status.directory.run(run.run_id), state.kind or Kind.UNKNOWN
    advice, why = status.manifest.advice.get(kind) or kind.advice, _held_back(status, target, state)
    tries = f"attempt {state.attempt}" if state.attempt else "never started"
    only, force = f" --kind {state.kind}" if state.kind else "", " --force" if why or not kind.retried else ""
    return [
        f"{run.run_id}: {state.state} ({state.kind}), {tries}",
        f"  {state.message or ''}".rstrip(),
        *([f"  {run.variant}, seed {run.seed}"] if run.axes else []),
        *(f"  | {line}" for line in _tail(status.directory, target, read_failure(target))),
        *([f"  advice: {advice}"] if advice else []),
        *([f"  not sent again by itself: {why}"] if why else []),
        f"  next: runner logs {name} {run.run_id}, runner resubmit {name}{only}{force}",
    ]


def _held_back(status: Status, run: RunDir, state: RunState) -> str | None:
    """Why a kind of failure that the policy retries is not retried here."""
    most = as_count(status.manifest.retry.get("max_attempts"))
    if state.kind is None or not state.kind.retried:
        return None
    if most is not None and tries(run, state, status.queue) >= most:
        return f"all {most} attempts are used (retry.max_attempts)"
    is_command = not is_retried(state.kind, status.manifest.task)
    return "a command cannot be told to work in smaller pieces" if is_command else None


def _tail(directory: ExperimentDir, run: RunDir, failure: Failure | None) -> list[str]:
    """The last lines of the traceback, else of the log, else of what should have started the run."""
    if failure and failure.traceback:
        return failure.traceback.rstrip().splitlines()[-LOG_LINES:]
    logs = attempt_logs(run)
    last = logs[max(logs)] if logs else log_of_the_start(directory, run.run_id)
    if last is None:
        return []
    try:
        return "".join(cleaned([read(last, LOG_BYTES)])).splitlines()[-LOG_LINES:]
    except CommandFailed as error:
        return [error.message]
