"""attempts.jsonl: a line when an attempt starts and a line when it ends."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from runner.files import append_json, read_mapping
from runner.rundir.attempts import Attempt, has_advanced, kind_of_unended, marks, read_attempts
from runner.rundir.layout import RunDir
from runner.rundir.processes import host_name


def begin_attempt(directory: RunDir, job_id: str | None, pid: int, checkpoints: Iterable[str] = ()) -> Attempt:
    """Write that an attempt starts; its number is one more than the last one's.

    An attempt that was killed with its parent has no end line; it gets one now, with the time of its last heartbeat.
    checkpoints: files of the run that hold its state, besides ours.
    """
    past = read_attempts(directory)
    for attempt in past:
        if attempt.seconds is None:
            _close_lost(directory, attempt)
    now = time.time()
    number = past[-1].number + 1 if past else 1
    names = (directory.last_checkpoint.name, directory.best_checkpoint.name, *checkpoints)
    before = marks(directory, names)
    line = {"attempt": number, "time": now, "host": host_name(), "job_id": job_id, "pid": pid, "checkpoints": before}
    append_json(directory.attempts, line)
    return Attempt(number, now, job_id, before)


def end_attempt(directory: RunDir, attempt: Attempt, outcome: str, **facts: Any) -> None:
    """Write that `attempt` ended.

    outcome: completed, failed, stopped or lost. facts: kind, exit_status, signal, peak_memory_bytes.
    """
    _append_end(directory, attempt, outcome, time.time(), **facts)


def seconds_before(directory: RunDir, number: int) -> float:
    """Wall-clock seconds of all attempts before attempt `number`."""
    return sum(attempt.seconds or 0.0 for attempt in read_attempts(directory) if attempt.number < number)


def _close_lost(directory: RunDir, attempt: Attempt) -> None:
    heartbeat = read_mapping(directory.heartbeat)
    if heartbeat.get("attempt") != attempt.number:
        heartbeat = {}
    last = heartbeat.get("time", attempt.started)
    facts = {"kind": kind_of_unended(directory, attempt), "peak_memory_bytes": heartbeat.get("peak_memory_bytes")}
    _append_end(directory, attempt, "lost", last, **facts)


def _append_end(directory: RunDir, attempt: Attempt, outcome: str, ended: float, **facts: Any) -> None:
    line = {"attempt": attempt.number, "ended": ended, "outcome": outcome, "seconds": ended - attempt.started}
    append_json(directory.attempts, {**line, "advanced": has_advanced(directory, attempt), **facts})
