"""`runner cancel`: stop runs by state or pattern, queued and running ones by default."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from runner.commands.status import Status, take
from runner.errors import CommandFailed, Problem, UserError, nearest
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
    if unknown := [state for state in states if state not in CANCELLABLE]:
        what, guess = f"--state {unknown[0]}: such runs cannot be cancelled", nearest(unknown[0], CANCELLABLE)
        raise UserError(str(Problem(what, allowed=", ".join(CANCELLABLE), nearest=guess)))
    gone = status.gone if "gone" in states else []
    wanted = {run.run_id for run, state in status.rows if state.state in states} | {run.run_id for run in gone}
    runs = [run for run, _ in status.rows] + gone
    return [run for run in (filter_runs(runs, names) if names else runs) if run.run_id in wanted]


def cancel(directory: ExperimentDir, names: Sequence[str], states: Sequence[str]) -> list[PlannedRun]:
    """Mark the chosen runs as cancelled and take them from their queues; the runs that were chosen."""
    status = take(directory)
    if any(state.state == "unknown" for _, state in status.rows):
        raise CommandFailed(f"Slurm does not answer, so nothing was cancelled: {status.queue.unanswered}")
    marked = {  # their pool will drop them
        run.run_id
        for run, state in status.rows
        if state.state == "queued" and directory.run(run.run_id).cancelled.exists()
    }
    chosen = [run for run in choose(status, names, states) if run.run_id not in marked]
    for run in chosen:
        refuse_links(*directory.run(run.run_id).folders)
        write_json(directory.run(run.run_id).cancelled, {"time": time.time()})
    doomed = marked | {run.run_id for run in chosen}
    if {run.run_id for run, state in status.rows if state.state in ("queued", "running")} <= doomed:
        _end_helpers(
            directory, status.queue.commands
        )  # first: a supervisor would take the end of the arrays for its turn
    _take_from_queues(directory, status, doomed)
    return chosen


def _end_helpers(directory: ExperimentDir, commands: SlurmCommands) -> None:
    """End what prepares and supervises the experiment: nothing is left for it to do."""
    jobs = {each.job_id for each in manifest.entries(directory) if each.event in ("supervised", "preparing")}
    if jobs:  # most of them ended long ago
        slurm.cancel(commands, sorted({element.job_id for element in slurm.queue(commands)} & jobs))
    follower = Process.read(directory.follower)
    if follower is not None and follower.pid is not None and follower.is_here and follower.is_alive():
        os.kill(follower.pid, signal.SIGTERM)


def _take_from_queues(directory: ExperimentDir, status: Status, chosen: set[str]) -> None:
    """Cancel array tasks, and end pools, whose runs are all chosen.

    The others go on: the parent of a marked run stops it, and a pool drops the marked runs that wait.
    """
    places = status.queue.places
    shared = {place.job for run_id, place in places.items() if run_id not in chosen}
    emptied = [place for place in places.values() if place.job not in shared]
    slurm.cancel(status.queue.commands, sorted({place.job for place in emptied if not place.in_pool}))
    for number in {place.submission for place in emptied if place.in_pool}:
        local.stop(directory, number)
