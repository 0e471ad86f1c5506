"""The state of a run, derived from its files and, as a hint, from the queue. Never stored.

The first that holds: completed, running, queued, failed, cancelled, lost, new.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from runner.files import read_json
from runner.layout import RunDir
from runner.processes import is_alive, machine
from runner.queue import Place

State = Literal["completed", "running", "queued", "failed", "cancelled", "lost", "new"]
STATES: tuple[State, ...] = ("completed", "running", "queued", "failed", "cancelled", "lost", "new")
HEARTBEAT_SECONDS = 30.0
STALE_INTERVALS = 3  # so many missed heartbeats mean that a run is dead


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
    age: float | None = None  # s since the last sign of life
    job: str | None = None
    result: dict[str, Any] | None = None


def run_state(run: RunDir, place: Place | None = None, now: float | None = None) -> RunState:
    """The state of one run; `place` is where a scheduler has it, None where none does."""
    now = time.time() if now is None else now
    try:
        names = set(os.listdir(run.path))
    except (FileNotFoundError, NotADirectoryError):
        return RunState("queued", job=place.job) if place else RunState("new")
    heartbeat = (read_json(run.heartbeat) if run.heartbeat.name in names else None) or {}
    facts: dict[str, Any] = {
        "attempt": heartbeat.get("attempt") or 0,
        "epoch": heartbeat.get("epoch"),
        "epochs": heartbeat.get("epochs"),
        "metric": heartbeat.get("metric"),
        "value": heartbeat.get("value"),
        "age": now - heartbeat["time"] if isinstance(heartbeat.get("time"), (int, float)) else None,
        "job": place.job if place else heartbeat.get("job_id"),
    }
    if run.result.name in names and isinstance(result := read_json(run.result), dict):
        return RunState("completed", result=result, **facts)
    if _lives(heartbeat, now):
        return RunState("running", **facts)
    failure = (read_json(run.failure) if run.failure.name in names else None) or {}
    if place and not _failed_beside_others(place, failure):
        started = place.started and heartbeat and not heartbeat.get("ended")
        return RunState("running" if started else "queued", message=place.reason or None, **facts)
    if failure:
        state: State = "cancelled" if failure.get("kind") == "cancelled" else "failed"
        return RunState(state, failure.get("kind", "unknown"), failure.get("message"), **facts)
    if run.cancelled.name in names:
        return RunState("cancelled", "cancelled", "cancelled before it started", **facts)
    if names & {run.config.name, run.heartbeat.name, run.attempts.name}:
        return RunState("lost", "node_failure", "its process is gone and left no word", **facts)
    return RunState("new", **facts)


def _failed_beside_others(place: Place, failure: dict[str, Any]) -> bool:
    """Whether a run has failed while its array task goes on for the other runs in it."""
    return place.started and not place.alone and float(failure.get("time") or 0) >= place.since


def _lives(heartbeat: dict[str, Any], now: float) -> bool:
    if not heartbeat or heartbeat.get("ended"):
        return False
    interval = float(heartbeat.get("interval") or HEARTBEAT_SECONDS)
    if now - float(heartbeat.get("time") or 0) > STALE_INTERVALS * interval:
        return False
    if heartbeat.get("machine") == machine():
        return is_alive(heartbeat.get("pid"), heartbeat.get("start_time"))
    return True


def counts(states: Iterable[RunState]) -> dict[str, int]:
    """How many runs are in each state, in the order of STATES; states that none has are left out."""
    found = Counter(state.state for state in states)
    return {state: found[state] for state in STATES if found[state]}
