"""attempts.jsonl, a line when an attempt starts and one when it ends: how each ended, and which of them count."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runner.files import append_json, as_number, open_file, read_json_lines
from runner.rundir.failures import Kind, kind_of, read_failure
from runner.rundir.layout import RunDir
from runner.rundir.processes import Heartbeat, host_name

NEAR = 0.9  # of the limit: the last heartbeat before a kill is seldom exactly at it
LOG_TAIL = 1 << 18  # bytes of an array task's log that are looked through
# What slurmstepd writes into it when memory is the reason, with and without cgroups
_MEMORY_KILL = re.compile(r"^.*(?:exceeded (?:job )?memory limit|oom.kill event|Out Of Memory).*$", re.MULTILINE | re.I)


@dataclass(frozen=True)
class Attempt:
    """One start of a run."""

    number: int  # counted from 1
    started: float  # Unix seconds
    job_id: str | None = None  # as Slurm writes it: 123 or 123_4
    checkpoints: Mapping[str, str] = field(default_factory=dict)  # as they were when it started: name → time and size
    seconds: float | None = None  # None: not ended, or ended without a word
    kind: Kind | None = None  # None: it completed, or has not ended
    advanced: bool = False  # a checkpoint is further than when it started


def read_attempts(run: RunDir) -> list[Attempt]:
    """All attempts in order; lines that are damaged are left out."""
    attempts: dict[int, Attempt] = {}
    for line in read_json_lines(run.attempts):
        number, before, job_id = (line.get(name) for name in ("attempt", "checkpoints", "job_id"))
        if isinstance(number, int) and "ended" not in line:
            attempts[number] = Attempt(
                number,
                as_number(line.get("time")) or 0.0,
                job_id if isinstance(job_id, str) else None,
                before if isinstance(before, dict) else {},
            )
        elif isinstance(number, int) and number in attempts:
            kind = kind_of(line["kind"]) if line.get("kind") else None
            seconds, advanced = as_number(line.get("seconds")) or 0.0, line.get("advanced") is True
            attempts[number] = replace(attempts[number], seconds=seconds, kind=kind, advanced=advanced)
    return list(attempts.values())


def begin_attempt(run: RunDir, job_id: str | None, pid: int, checkpoints: Iterable[str] = ()) -> Attempt:
    """Write that an attempt starts; its number is one more than the last one's.

    An attempt that was killed with its parent has no end line; it gets one now, with the time of its last heartbeat.
    checkpoints: files of the run that hold its state, besides ours.
    """
    past = read_attempts(run)
    for attempt in past:
        if attempt.seconds is None:
            heartbeat = heartbeat_of(run, attempt.number)
            facts = {"kind": kind_of_unended(run, attempt), "peak_memory_bytes": heartbeat.peak_memory_bytes}
            end_attempt(run, attempt, "lost", heartbeat.time or attempt.started, **facts)
    now, number = time.time(), past[-1].number + 1 if past else 1
    before = marks(run, (run.last_checkpoint.name, run.best_checkpoint.name, *checkpoints))
    line = {"attempt": number, "time": now, "host": host_name(), "job_id": job_id, "pid": pid, "checkpoints": before}
    append_json(run.attempts, line)
    return Attempt(number, now, job_id, before)


def end_attempt(run: RunDir, attempt: Attempt, outcome: str, ended: float | None = None, **facts: Any) -> None:
    """Write that `attempt` ended, now if not at `ended` (Unix seconds).

    outcome: completed, failed, stopped or lost. facts: kind, exit_status, signal, peak_memory_bytes.
    """
    ended = time.time() if ended is None else ended
    line = {"attempt": attempt.number, "ended": ended, "outcome": outcome, "seconds": ended - attempt.started}
    append_json(run.attempts, {**line, "advanced": has_advanced(run, attempt), **facts})


def seconds_before(run: RunDir, number: int) -> float:
    """Wall-clock seconds of all attempts before attempt `number`."""
    return sum(attempt.seconds or 0.0 for attempt in read_attempts(run) if attempt.number < number)


def ended_attempts(run: RunDir) -> list[Attempt]:
    """The same of a run that is not at work: one without an end was killed with its parent."""
    return [
        attempt
        if attempt.seconds is not None
        else replace(attempt, seconds=0.0, kind=kind_of_unended(run, attempt), advanced=has_advanced(run, attempt))
        for attempt in read_attempts(run)
    ]


def not_counting(attempts: Iterable[Attempt]) -> int:
    """How many do not count towards `retry.max_attempts`.

    Every preemption; the death of a node and a time limit where a checkpoint advanced.
    """
    passing = (Kind.TIMEOUT, Kind.NODE_FAILURE)
    return sum(a.kind is Kind.PREEMPTED or (a.kind in passing and a.advanced) for a in attempts)


def exhausted(attempts: Iterable[Attempt]) -> Counter[Kind]:
    """How often they ran out of each thing; a time limit that left progress asks for no more time."""
    return Counter(a.kind for a in attempts if a.kind and not (a.kind is Kind.TIMEOUT and a.advanced))


def marks(run: RunDir, names: Iterable[str]) -> dict[str, str]:
    """Time and size of files of the run, which change when a checkpoint is written; empty where there is none.

    names: or patterns, of which the newest file counts.
    """
    return {name: max(map(_mark, run.path.glob(name)), default="") for name in names}


def _mark(path: Path) -> str:
    with suppress(OSError):  # gone in the meantime
        status = path.stat()
        return f"{status.st_mtime_ns}/{status.st_size}"
    return ""


def has_advanced(run: RunDir, attempt: Attempt) -> bool:
    """Whether a checkpoint was written since `attempt` started."""
    return any(mark and mark != attempt.checkpoints[name] for name, mark in marks(run, attempt.checkpoints).items())


def kind_of_unended(run: RunDir, attempt: Attempt) -> Kind:
    """Of an attempt without an end: what its parent wrote in advance, the word of Slurm, else its last heartbeat."""
    failure, heartbeat = read_failure(run), heartbeat_of(run, attempt.number)
    if failure and failure.attempt == attempt.number:
        return failure.kind
    return Kind.OUT_OF_MEMORY if memory_kill(run, attempt.number, attempt.job_id) else kind_of_lost(heartbeat)


def heartbeat_of(run: RunDir, attempt: int) -> Heartbeat:
    """The last sign of life of that attempt; an empty one where it left none."""
    heartbeat = Heartbeat.read(run.heartbeat)
    return heartbeat if heartbeat and heartbeat.attempt == attempt else Heartbeat()


def kind_of_lost(heartbeat: Heartbeat) -> Kind:
    """The kind of failure that the last `heartbeat` speaks for: out_of_memory, else node_failure."""
    peak, limit = heartbeat.peak_memory_bytes, heartbeat.memory_limit_bytes
    near = peak is not None and limit is not None and peak >= NEAR * limit
    return Kind.OUT_OF_MEMORY if near else Kind.NODE_FAILURE


def memory_kill(run: RunDir, number: int, job_id: str | None) -> str | None:
    """What Slurm wrote into the log of the array task when it ended attempt `number` for its memory; else None."""
    if not re.fullmatch(r"\d+(_\d+)?", job_id or ""):
        return None
    for log in run.experiment.array_task_logs(str(job_id)):
        _, started, since = log_tail(log).rpartition(f"{run.run_id}: attempt {number} started")
        if started and (line := _MEMORY_KILL.search(since)):
            return line[0].strip()
    return None


def log_tail(log: Path) -> str:
    """The end of the log of an array task; empty where there is none to read."""
    try:
        with open_file(log) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_TAIL))
            return (file.read(LOG_TAIL) or b"").decode(errors="replace")
    except OSError:
        return ""
