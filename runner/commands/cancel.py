"""`runner cancel`: stop runs by state or pattern, queued and running ones by default."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from runner.commands.status import Status, take
from runner.errors import CommandFailed, UserError, nearest
from runner.files import refuse_links, write_json
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir
from runner.rundir.planned import PlannedRun
from runner.rundir.processes import Process
from runner.slurm_commands import SlurmCommands
from runner.submit.run_selection import filter_runs
from runner.submit.schedulers import local, slurm

# A failed run has ended, and a new one was never sent; gone: from the experiment file, and still queued or running
CANCELLABLE = ("queued", "running", "lost", "gone")
USUAL = ("queued", "running", "gone")


def choose(status: Status, names: Sequence[str], states: Sequence[str]) -> list[PlannedRun]:
    """The runs to cancel: those in one of `states` that `names` mean; of all where there are none."""
    unknown = [state for state in states if state not in CANCELLABLE]
    if unknown:
        near = nearest(unknown[0], CANCELLABLE)
        hint = f"\n    did you mean: {near}" if near else ""
        raise UserError(
            f"--state {unknown[0]}: such runs cannot be cancelled\n    allowed: {', '.join(CANCELLABLE)}{hint}"
        )
    gone = status.gone if "gone" in states else []
    wanted = {run.run_id for run, state in status.rows if state.state in states} | {run.run_id for run in gone}
    runs = [run for run, _ in status.rows] + gone
    return [run for run in (filter_runs(runs, names) if names else runs) if run.run_id in wanted]


def cancel(directory: ExperimentDir, names: Sequence[str], states: Sequence[str]) -> list[PlannedRun]:
    """Mark the chosen runs as cancelled and take them from their queues; the runs that were chosen."""
    status = take(directory)
    if any(state.state == "unknown" for _, state in status.rows):
        raise CommandFailed(f"Slurm does not answer, so nothing was cancelled: {status.queue.unanswered}")
    waiting = {run.run_id for run, state in status.rows if state.state == "queued"}
    marked = {run_id for run_id in waiting if directory.run(run_id).cancelled.exists()}  # their pool will drop them
    chosen = [run for run in choose(status, names, states) if run.run_id not in marked]
    for run in chosen:
        refuse_links(*directory.run(run.run_id).folders)
        write_json(directory.run(run.run_id).cancelled, {"time": time.time()})
    doomed = marked | {run.run_id for run in chosen}
    if {run.run_id for run, state in status.rows if state.state in ("queued", "running")} <= doomed:
        _end_helpers(
            directory, status.queue.commands
        )  # first: a supervisor would take the end of the arrays for its turn
    _take_from_slurm(directory, status, doomed)
    _take_from_pools(directory, status, doomed)
    return chosen


def _end_helpers(directory: ExperimentDir, commands: SlurmCommands) -> None:
    """End what prepares and supervises the experiment: nothing is left for it to do."""
    jobs = set(manifest.helper_jobs(directory))
    if living := sorted(jobs & {element.job_id for element in slurm.queue(commands)}) if jobs else []:
        slurm.cancel(commands, living)
    follower = Process.read(directory.follower)
    if follower is not None and follower.pid is not None and follower.is_here and follower.is_alive():
        os.kill(follower.pid, signal.SIGTERM)


def _take_from_slurm(directory: ExperimentDir, status: Status, chosen: set[str]) -> None:
    """scancel array tasks whose runs are all cancelled; a shared one goes on, its parent stops the marked run."""
    by_job: dict[str, list[str]] = {}
    for run_id, place in status.queue.places.items():
        if not place.job.startswith("pool "):
            by_job.setdefault(place.job, []).append(run_id)
    doomed = [job for job, runs in by_job.items() if set(runs) <= chosen]
    if doomed:
        slurm.cancel(status.queue.commands, doomed)


def _take_from_pools(directory: ExperimentDir, status: Status, chosen: set[str]) -> None:
    """An emptied pool is ended at once; else it drops marked runs that wait, and their parents stop those that run."""
    pools: dict[int, set[str]] = {}
    for run_id, place in status.queue.places.items():
        if place.job.startswith("pool "):
            pools.setdefault(place.submission, set()).add(run_id)
    for number, members in pools.items():
        if members <= chosen:
            local.stop(directory, number)
