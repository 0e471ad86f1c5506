"""`runner cancel`: stop runs by state or pattern, queued and running ones by default."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Sequence

from runner.commands.status import Status, take
from runner.errors import UserError, nearest
from runner.files import read_mapping, write_json
from runner.layout import ExperimentDir, RunDir
from runner.manifest import PlannedRun
from runner.processes import is_alive
from runner.queue import Place
from runner.schedulers import local, slurm
from runner.selection import filter_runs

CANCELLABLE = ("queued", "running", "lost")  # a failed run has ended, and a new one was never sent


def choose(status: Status, pattern: str | None, states: Sequence[str]) -> list[PlannedRun]:
    """The runs to cancel: those in one of `states` that match `pattern`."""
    unknown = [state for state in states if state not in CANCELLABLE]
    if unknown:
        near = nearest(unknown[0], CANCELLABLE)
        hint = f"\n    did you mean: {near}" if near else ""
        raise UserError(
            f"--state {unknown[0]}: such runs cannot be cancelled\n    allowed: {', '.join(CANCELLABLE)}{hint}"
        )
    wanted = {run.run_id for run, state in status.rows if state.state in states}
    runs = [run for run, _ in status.rows]
    return [run for run in (filter_runs(runs, pattern) if pattern else runs) if run.run_id in wanted]


def cancel(directory: ExperimentDir, pattern: str | None, states: Sequence[str]) -> list[PlannedRun]:
    """Mark the chosen runs as cancelled and take them from their queues; the runs that were chosen."""
    status = take(directory)
    waiting = {run.run_id for run, state in status.rows if state.state == "queued"}
    marked = {run_id for run_id in waiting if directory.run(run_id).cancelled.exists()}  # their pool will drop them
    chosen = [run for run in choose(status, pattern, states) if run.run_id not in marked]
    for run in chosen:
        write_json(directory.run(run.run_id).cancelled, {"time": time.time()})
    doomed = marked | {run.run_id for run in chosen}
    _take_from_slurm(directory, status, doomed)
    _take_from_pools(directory, status, doomed)
    return chosen


def _take_from_slurm(directory: ExperimentDir, status: Status, chosen: set[str]) -> None:
    """scancel array tasks whose runs are all cancelled; a shared one goes on, its parent stops the marked run."""
    by_job: dict[str, list[str]] = {}
    for run_id, place in status.queue.places.items():
        if not place.job.startswith("pool "):
            by_job.setdefault(place.job, []).append(run_id)
    doomed = [job for job, runs in by_job.items() if set(runs) <= chosen]
    if doomed:
        slurm.cancel(doomed)


def _take_from_pools(directory: ExperimentDir, status: Status, chosen: set[str]) -> None:
    """A pool drops marked runs that wait by itself; running ones are told, and an emptied pool is ended at once."""
    pools: dict[int, dict[str, Place]] = {}
    for run_id, place in status.queue.places.items():
        if place.job.startswith("pool "):
            pools.setdefault(place.submission, {})[run_id] = place
    for number, members in pools.items():
        if members.keys() <= chosen:
            local.stop(directory, number)
            continue
        for run_id, place in members.items():
            if run_id in chosen and place.started:
                _tell(directory.run(run_id))


def _tell(run: RunDir) -> None:
    """SIGTERM to the process of a run on this machine: it writes its checkpoint and leaves as cancelled."""
    heartbeat = read_mapping(run.heartbeat)
    pid = heartbeat.get("pid")
    if heartbeat.get("host") == socket.gethostname() and is_alive(pid, heartbeat.get("start_time")):
        os.kill(int(pid or 0), signal.SIGTERM)
