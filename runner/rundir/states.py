"""The state of a run, derived from its files and, as a hint, from the queue. Never stored.

The first that holds: completed, running, queued, failed, cancelled, incomplete (adopted, without its end), dropped (a
search ended it), unknown (Slurm does not answer), lost, new.
"""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from runner.config.quantities import LONGEST_SECONDS
from runner.files import read_json_lines
from runner.record import Record
from runner.rundir.attempts import kind_of_lost
from runner.rundir.failures import Failure, Kind, failure_at
from runner.rundir.layout import RunDir
from runner.rundir.processes import Heartbeat
from runner.rundir.result import Result

State = Literal[
    "completed", "running", "queued", "failed", "cancelled", "dropped", "unknown", "lost", "incomplete", "new"
]
STATES: tuple[State, ...] = get_args(State)
WITHOUT_END = "adopted from a program that has not come to its end, or has not said so"
NEVER_STARTED = "it has left the queue without having been started; the log of its array task may say why"

# Joined as text: ten thousand runs are seventy thousand paths, and pathlib takes longer over them than the disk
_RESULT, _HEARTBEAT, _FAILURE = RunDir.result.name, RunDir.heartbeat.name, RunDir.failure.name
_CANCELLED, _ATTEMPTS, _CONFIG = RunDir.cancelled.name, RunDir.attempts.name, RunDir.config.name
_ADOPTED = RunDir.adopted.name


@dataclass(frozen=True)
class QueueEntry:
    """Where a run stands in a queue."""

    started: bool  # False: it waits
    job: str  # 12_3, or pool 4711
    submission: int
    reason: str = ""
    final: bool = False  # a failure there is the end of the run; a Slurm task of its own may be requeued after one
    since: float = 0.0  # Unix seconds when the array task was (last) started or sent

    @property
    def in_pool(self) -> bool:
        """Whether a pool of this machine has it, and not Slurm."""
        return self.job.startswith("pool ")


@dataclass(frozen=True, slots=True)
class RunFiles:
    """What the files of a run say of its state."""

    result: Result | None = None  # where it is whole
    heartbeat: Heartbeat | None = None
    failure: Failure | None = None
    cancelled: bool = False  # cancelled before it started
    attempts: int = 0  # how often it was started, as far as it is not completed
    started: bool = False  # at some time
    written: bool = False  # its configuration, which is done before it is sent
    adopted: bool = False  # made from what another program left


@dataclass(frozen=True, slots=True)
class RunState:
    """What can be said of a run at this moment."""

    state: State
    kind: Kind | None = None  # of a failure
    message: str | None = None
    attempt: int = 0
    epoch: int | None = None
    epochs: int | None = None
    metric: str | None = None
    value: float | None = None
    health: str | None = None  # ok, warning or blocking: of the whole run, or of the last epoch so far
    age: float | None = None  # s since the last sign of life
    job: str | None = None
    result: Result | None = None

    @property
    def retried(self) -> bool:
        """Whether it has failed, or is lost, in a way that is retried by policy."""
        return self.kind is not None and self.kind.retried


def run_state(run: RunDir, place: QueueEntry | None = None, now: float | None = None) -> RunState:
    """The state of one run; `place` is where a scheduler has it, None where none does or none was asked."""
    return state_of(read_run_files(os.fspath(run.path)), place, time.time() if now is None else now)


def read_run_files(folder: str) -> RunFiles:
    """The signs in the directory of a run; files that are missing or truncated say nothing."""
    if os.path.islink(folder):
        return RunFiles()  # it leads out of the experiment
    result, heartbeat = _record(Result, f"{folder}/{_RESULT}"), _record(Heartbeat, f"{folder}/{_HEARTBEAT}")
    if result is not None and result.run_id in (None, os.path.basename(folder)):  # else it is a copy of another one's
        return RunFiles(result, heartbeat, started=True, written=True)  # nothing else says more
    try:
        names = set(os.listdir(folder))
    except OSError:  # missing, not a directory, not ours to read
        return RunFiles()
    begun = _ATTEMPTS in names
    return RunFiles(
        None,
        heartbeat,
        failure_at(f"{folder}/{_FAILURE}") if _FAILURE in names else None,
        _CANCELLED in names,
        _starts(folder) if begun else 0,
        begun or _HEARTBEAT in names,
        _CONFIG in names,
        _ADOPTED in names,
    )


def _starts(folder: str) -> int:
    with suppress(PermissionError):
        return sum("ended" not in line for line in read_json_lines(f"{folder}/{_ATTEMPTS}"))
    return 0


R = TypeVar("R", bound=Record)


def _record(kind: type[R], path: str) -> R | None:
    with suppress(PermissionError):  # a colleague's run; the others can still be shown
        return kind.read(path)
    return None


def state_of(
    files: RunFiles,
    place: QueueEntry | None,
    now: float,
    *,
    sent: bool = True,
    unasked: float | None = None,
    dropped: str | None = None,
) -> RunState:
    """The state that `signs` and `place` mean at the moment `now`, in seconds since 1970.

    sent: False where no scheduler has taken it yet, so that a run that is just being sent is new and not lost.
    unasked: when it was last sent to a Slurm that does not answer now. dropped: why a search ended it.
    """
    result, failure, heartbeat = files.result, files.failure, files.heartbeat or Heartbeat()
    age = now - heartbeat.time if heartbeat.time else None
    facts: dict[str, Any] = {
        "attempt": max(files.attempts, heartbeat.attempt or 0, failure.attempt if failure else 0),
        "epoch": heartbeat.epoch,
        "epochs": heartbeat.epochs,
        "metric": heartbeat.metric,
        "value": heartbeat.value,
        "health": (result and result.health) or heartbeat.health,
        "age": None if age is None or abs(age) > LONGEST_SECONDS else age,
        "job": place.job if place else heartbeat.job_id,
    }
    if result is not None:
        return RunState("completed", result=result, **facts)
    if heartbeat.is_beating(now) and not _ended_by(failure, heartbeat):
        return RunState("running", **facts)
    if place and not _failed_for_good(place, failure):
        started = place.started and files.heartbeat is not None and not heartbeat.ended
        return RunState("running" if started else "queued", message=place.reason or None, **facts)
    if failure and not (unasked is not None and _may_go_on(failure, unasked)):
        state: State = "cancelled" if failure.kind is Kind.CANCELLED else "failed"
        return RunState(state, failure.kind, failure.message, **facts)
    if files.cancelled:
        return RunState("cancelled", Kind.CANCELLED, "cancelled before it started", **facts)
    if files.adopted:
        return RunState("incomplete", message=WITHOUT_END, **facts)
    if dropped is not None:
        return RunState("dropped", message=dropped, **facts)
    if unasked is not None and (files.started or files.written):
        return RunState("unknown", message="Slurm, which has or had it, does not answer", **facts)
    if files.started or (files.written and sent):
        message = _last_seen(heartbeat) if files.started else NEVER_STARTED
        return RunState("lost", kind_of_lost(heartbeat), message, **facts)
    return RunState("new", **facts)


def _failed_for_good(place: QueueEntry, failure: Failure | None) -> bool:
    """Whether a run has failed, although the scheduler still has its array task: other runs in it go on.

    One that was preempted, or put off for lack of time, goes on with its array task.
    """
    late = failure is not None and failure.time >= place.since and failure.kind is not Kind.PREEMPTED
    return late and place.started and place.final


def _may_go_on(failure: Failure, sent: float) -> bool:
    """Whether a run may wait in the queue although it has failed: it was sent again at `sent`, or Slurm requeues it."""
    return failure.time < sent or failure.kind in (Kind.PREEMPTED, Kind.TIMEOUT)


def _last_seen(heartbeat: Heartbeat) -> str:
    """What is said of a run that left no word."""
    gone = "its process is gone and left no word"
    if kind_of_lost(heartbeat) is Kind.NODE_FAILURE:
        return gone
    peak, limit = ((size or 0) / 2**20 for size in (heartbeat.peak_memory_bytes, heartbeat.memory_limit_bytes))
    return f"{gone}; it was last seen with {peak:.0f} of {limit:.0f} MiB allowed"


def _ended_by(failure: Failure | None, heartbeat: Heartbeat) -> bool:
    """Whether `failure` is the end of the attempt that `heartbeat` is of: a killed process cannot say that it ended.

    One that is provisional is none: it was written while the process is still asked to leave.
    """
    return failure is not None and not failure.provisional and failure.attempt >= (heartbeat.attempt or math.inf)


def counts(states: Iterable[RunState]) -> dict[str, int]:
    """How many runs are in each state, in the order of STATES; states that none has are left out."""
    numbers = Counter(state.state for state in states)
    return {state: numbers[state] for state in STATES if numbers[state]}
