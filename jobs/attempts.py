"""attempts.jsonl: a line when an attempt starts and a line when it ends."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from runner.files import append_json, read_json_lines, read_mapping
from runner.layout import RunDir
from runner.lost import kind_of_unended
from runner.processes import host_name


@dataclass(frozen=True)
class Attempt:
    """One start of a run."""

    number: int  # counted from 1
    started: float  # Unix seconds
    seconds: float | None  # None: not ended, or ended without a word


def read_attempts(directory: RunDir) -> list[Attempt]:
    """All attempts in order."""
    attempts: dict[int, Attempt] = {}
    for line in read_json_lines(directory.attempts):
        number = int(line["attempt"])
        if "ended" not in line:
            attempts[number] = Attempt(number, line["time"], None)
        elif number in attempts:
            attempts[number] = Attempt(number, attempts[number].started, line["seconds"])
    return list(attempts.values())


def begin_attempt(directory: RunDir, job_id: str | None, pid: int) -> Attempt:
    """Write that an attempt starts; its number is one more than the last one's.

    An attempt that was killed with its parent has no end line; it gets one now, with the time of its last heartbeat.
    """
    past = read_attempts(directory)
    for attempt in past:
        if attempt.seconds is None:
            _close_lost(directory, attempt)
    now = time.time()
    number = past[-1].number + 1 if past else 1
    line = {"attempt": number, "time": now, "host": host_name(), "job_id": job_id, "pid": pid}
    append_json(directory.attempts, line)
    return Attempt(number, now, None)


def end_attempt(directory: RunDir, attempt: Attempt, outcome: str, **facts: Any) -> None:
    """Write that `attempt` ended.

    outcome: completed, failed, stopped or lost. facts: kind, exit_status, signal, peak_memory_bytes.
    """
    ended = time.time()
    line = {"attempt": attempt.number, "ended": ended, "outcome": outcome, "seconds": ended - attempt.started, **facts}
    append_json(directory.attempts, line)


def seconds_before(directory: RunDir, number: int) -> float:
    """Wall-clock seconds of all attempts before attempt `number`."""
    return sum(attempt.seconds or 0.0 for attempt in read_attempts(directory) if attempt.number < number)


def _close_lost(directory: RunDir, attempt: Attempt) -> None:
    heartbeat = read_mapping(directory.heartbeat)
    if heartbeat.get("attempt") != attempt.number:
        heartbeat = {}
    last = heartbeat.get("time", attempt.started)
    kind = kind_of_unended(attempt.number, read_mapping(directory.failure), heartbeat)
    facts = {"kind": kind, "peak_memory_bytes": heartbeat.get("peak_memory_bytes")}
    line = {"attempt": attempt.number, "ended": last, "outcome": "lost", "seconds": last - attempt.started, **facts}
    append_json(directory.attempts, line)
