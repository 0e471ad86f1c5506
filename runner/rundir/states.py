"""The state of a run, derived from its files and, as a hint, from the queue. Never stored.

The first that holds: completed, running, queued, failed, cancelled, unknown (Slurm does not answer), lost,
incomplete (adopted, without its end), new.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from runner.config.quantities import LONGEST_SECONDS
from runner.files import as_count, as_number, read_json, read_json_lines
from runner.rundir.attempts import kind_of_lost
from runner.rundir.failures import Kind, kind_of
from runner.rundir.layout import RunDir
from runner.rundir.processes import is_beating

State = Literal["completed", "running", "queued", "failed", "cancelled", "unknown", "lost", "incomplete", "new"]
STATES: tuple[State, ...] = get_args(State)
WITHOUT_END = "adopted from a program that has not come to its end, or has not said so"
NEVER_STARTED = "it has left the queue without having been started; the log of its array task may say why"

# Joined as text: ten thousand runs are seventy thousand paths, and pathlib takes longer over them than the disk
_OF_A_RUN = RunDir(Path())
_RESULT, _HEARTBEAT, _FAILURE = (path.name for path in (_OF_A_RUN.result, _OF_A_RUN.heartbeat, _OF_A_RUN.failure))
_CANCELLED, _ATTEMPTS, _CONFIG = (path.name for path in (_OF_A_RUN.cancelled, _OF_A_RUN.attempts, _OF_A_RUN.config))
_ADOPTED = _OF_A_RUN.adopted.name


@dataclass(frozen=True)
class Place:
    """Where a run stands in a queue."""

    started: bool  # False: it waits
    job: str  # 12_3, or pool 4711
    submission: int
    reason: str = ""
    final: bool = False  # a failure there is the end of the run; a Slurm task of its own may be requeued after one
    since: float = 0.0  # Unix seconds when the array task was (last) started or sent


@dataclass(frozen=True, slots=True)
class Signs:
    """What the files of a run say of its state."""

    result: dict[str, Any] | None = None  # of result.json, where it is whole
    heartbeat: Mapping[str, Any] = field(default_factory=dict)
    failure: Mapping[str, Any] = field(default_factory=dict)
    cancelled: bool = False  # cancelled before it started
    attempts: int = 0  # how often it was started, as far as it is not completed
    started: bool = False  # at some time
    written: bool = False  # its configuration, which is done before it is sent
    adopted: bool = False  # made from what another program left


@dataclass(frozen=True, slots=True)
class RunState:
    """What can be said of a run at this moment."""

    state: State
    kind: str | None = None  # of a failure
    message: str | None = None
    attempt: int = 0
    epoch: int | None = None
    epochs: int | None = None
    metric: str | None = None
    value: float | None = None
    health: str | None = None  # ok, warning or blocking: of the whole run, or of the last epoch so far
    age: float | None = None  # s since the last sign of life
    job: str | None = None
    result: dict[str, Any] | None = None


def run_state(run: RunDir, place: Place | None = None, now: float | None = None) -> RunState:
    """The state of one run; `place` is where a scheduler has it, None where none does or none was asked."""
    return state_of(read_signs(os.fspath(run.path)), place, time.time() if now is None else now)


def read_signs(folder: str) -> Signs:
    """The signs in the directory of a run; files that are missing or truncated say nothing."""
    if os.path.islink(folder):
        return Signs()  # it leads out of the experiment
    result, heartbeat = _object(folder, _RESULT), _object(folder, _HEARTBEAT)
    if _is_of(folder, result):
        return Signs(result, heartbeat or {}, started=True, written=True)  # nothing else says more
    try:
        names = set(os.listdir(folder))
    except OSError:  # missing, not a directory, not ours to read
        return Signs()
    failure = _object(folder, _FAILURE) if _FAILURE in names else None
    if failure is None and _FAILURE in names:
        failure = {"kind": "unknown", "message": f"{_FAILURE} is not readable"}
    begun = _ATTEMPTS in names
    return Signs(
        None,
        heartbeat or {},
        failure or {},
        _CANCELLED in names,
        _starts(folder) if begun else 0,
        begun or _HEARTBEAT in names,
        _CONFIG in names,
        _ADOPTED in names,
    )


def _starts(folder: str) -> int:
    try:
        return sum("ended" not in line for line in read_json_lines(f"{folder}/{_ATTEMPTS}"))
    except PermissionError:
        return 0


def _object(folder: str, name: str) -> dict[str, Any] | None:
    try:
        value = read_json(f"{folder}/{name}")
    except PermissionError:  # a colleague's run; the others can still be shown
        value = None
    return value if isinstance(value, dict) else None


def _is_of(folder: str, result: dict[str, Any] | None) -> bool:
    """Whether `result` is of the run in `folder`, and was not copied from another one."""
    name = os.path.basename(folder)
    return result is not None and result.get("run_id", name) == name


def state_of(
    signs: Signs, place: Place | None, now: float, *, sent: bool = True, unasked: float | None = None
) -> RunState:
    """The state that `signs` and `place` mean at the moment `now`, in seconds since 1970.

    sent: False where no scheduler has taken it yet, so that a run that is just being sent is new and not lost.
    unasked: when it was last sent to a Slurm that does not answer now.
    """
    heartbeat, failure = signs.heartbeat, signs.failure
    told = as_number(heartbeat.get("time"))
    facts: dict[str, Any] = {
        "attempt": max(signs.attempts, *(as_count(sign.get("attempt")) or 0 for sign in (heartbeat, failure))),
        "epoch": as_count(heartbeat.get("epoch")),
        "epochs": as_count(heartbeat.get("epochs")),
        "metric": _text(heartbeat.get("metric")),
        "value": as_number(heartbeat.get("value")),
        "health": _text((signs.result or {}).get("health")) or _text(heartbeat.get("health")),
        "age": None if told is None or abs(now - told) > LONGEST_SECONDS else now - told,
        "job": place.job if place else _text(heartbeat.get("job_id")),
    }
    if signs.result is not None:
        return RunState("completed", result=signs.result, **facts)
    if is_beating(heartbeat, now) and not _ended_by(failure, heartbeat):
        return RunState("running", **facts)
    if place and not _failed_for_good(place, failure):
        started = place.started and heartbeat and not heartbeat.get("ended")
        return RunState("running" if started else "queued", message=place.reason or None, **facts)
    if failure and not (unasked is not None and _may_go_on(failure, unasked)):
        state: State = "cancelled" if failure.get("kind") == "cancelled" else "failed"
        return RunState(state, _text(failure.get("kind")) or "unknown", _text(failure.get("message")), **facts)
    if signs.cancelled:
        return RunState("cancelled", "cancelled", "cancelled before it started", **facts)
    if signs.adopted:
        return RunState("incomplete", message=WITHOUT_END, **facts)
    if unasked is not None and (signs.started or signs.written):
        return RunState("unknown", message="Slurm, which has or had it, does not answer", **facts)
    if signs.started:
        return RunState("lost", kind_of_lost(heartbeat), _last_seen(heartbeat), **facts)
    if signs.written and sent:
        return RunState("lost", kind_of_lost(heartbeat), NEVER_STARTED, **facts)
    return RunState("new", **facts)


def _failed_for_good(place: Place, failure: Mapping[str, Any]) -> bool:
    """Whether a run has failed, although the scheduler still has its array task: other runs in it go on.

    One that was preempted, or put off for lack of time, goes on with its array task.
    """
    late = bool(failure) and (as_number(failure.get("time")) or 0) >= place.since
    return late and place.started and place.final and kind_of(failure.get("kind")) is not Kind.PREEMPTED


def _may_go_on(failure: Mapping[str, Any], sent: float) -> bool:
    """Whether a run may wait in the queue although it has failed: it was sent again at `sent`, or Slurm requeues it."""
    again = (as_number(failure.get("time")) or 0.0) < sent
    return again or kind_of(failure.get("kind")) in (Kind.PREEMPTED, Kind.TIMEOUT)


def _last_seen(heartbeat: Mapping[str, Any]) -> str:
    """What is said of a run that left no word."""
    gone = "its process is gone and left no word"
    if kind_of_lost(heartbeat) is Kind.NODE_FAILURE:
        return gone
    peak, limit = (heartbeat[name] / 2**20 for name in ("peak_memory_bytes", "memory_limit_bytes"))
    return f"{gone}; it was last seen with {peak:.0f} of {limit:.0f} MiB allowed"


def _ended_by(failure: Mapping[str, Any], heartbeat: Mapping[str, Any]) -> bool:
    """Whether `failure` is the end of the attempt that `heartbeat` is of: a killed process cannot say that it ended."""
    if failure.get("provisional"):
        return False  # written while the process is still asked to leave
    failed, beating = as_number(failure.get("attempt")), as_number(heartbeat.get("attempt"))
    return failed is not None and beating is not None and failed >= beating


def _text(value: Any) -> str | None:
    """`value` as text; None for nothing, and for what no file of a run holds there."""
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else None


def counts(states: Iterable[RunState]) -> dict[str, int]:
    """How many runs are in each state, in the order of STATES; states that none has are left out."""
    found = Counter(state.state for state in states)
    return {state: found[state] for state in STATES if found[state]}
