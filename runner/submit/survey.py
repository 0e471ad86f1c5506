"""The states of many runs, from their files and one look at the schedulers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from runner.rundir.attempts import log_tail, memory_kill, read_attempts
from runner.rundir.failures import Failure, Kind
from runner.rundir.layout import ExperimentDir
from runner.rundir.ledger import dropped_runs
from runner.rundir.states import RunFiles, RunState, read_run_files, state_of
from runner.submit.scheduler_snapshot import Queue, Sending, look
from runner.submit.schedulers import slurm


def survey(
    directory: ExperimentDir, run_ids: Iterable[str], now: float | None = None
) -> tuple[dict[str, RunState], Queue]:
    """The states of many runs, with one look at the schedulers where some are not completed.

    Files of what the queue no longer has are read again after that look: such a run may have ended in between.
    """
    now = time.time() if now is None else now
    runs = os.fspath(directory.runs)
    run_files = {run_id: read_run_files(f"{runs}/{run_id}") for run_id in run_ids}
    unfinished = {run_id for run_id, files in run_files.items() if files.result is None}
    queue = look(directory, unfinished, run_files)
    for run_id in unfinished - queue.places.keys():
        run_files[run_id] = read_run_files(f"{runs}/{run_id}")
    ended = dropped_runs(directory)
    states = {
        run_id: _surveyed(directory, run_id, files, queue, now, ended.get(run_id))
        for run_id, files in run_files.items()
    }
    _ask_accounting(states, run_files, queue)
    return states, queue


def _ask_accounting(states: dict[str, RunState], run_files: Mapping[str, RunFiles], queue: Queue) -> None:
    """Mark the runs that Slurm ended for their memory, and those that were taken from its queue before their start.

    The accounting does not record the latter. They are not marked where slurmctld was started after they were sent,
    since it may have lost them, nor where the accounting knows another end: a node that cannot start an array task
    leaves no log either.
    """
    elements = {
        run_id: log.name.removesuffix("_0_log.out")
        for run_id, state in states.items()
        if state.retried
        if (sending := queue.last.get(run_id)) and (log := sending.log)
    }
    taken = [run_id for run_id in elements if _was_taken_from_queue(queue.last[run_id], run_files[run_id].failure)]
    unknown = {run_id for run_id in elements if states[run_id].kind == Kind.NODE_FAILURE and states[run_id].attempt}
    if queue.unanswered or not (taken or unknown):
        return
    ends = slurm.accounting(queue.commands, {name.partition("_")[0] for name in elements.values()})
    for run_id in unknown:
        if (end := ends.get(elements[run_id], "")) == "OUT_OF_MEMORY":
            what = f"its process is gone; Slurm's accounting says {end}"
            states[run_id] = replace(states[run_id], kind=Kind.OUT_OF_MEMORY, message=what)
    boot = slurm.boot_time(queue.commands) if taken else 0.0
    what = "taken from Slurm's queue before it started, as scancel does"
    for run_id in taken:
        no_end = ends.get(elements[run_id], "PENDING").startswith(("CANCELLED", "PENDING"))
        if queue.last[run_id].time > boot and no_end:
            states[run_id] = replace(states[run_id], state="cancelled", kind=Kind.CANCELLED, message=what)


def _surveyed(
    directory: ExperimentDir, run_id: str, files: RunFiles, queue: Queue, now: float, dropped: str | None
) -> RunState:
    """The state of one run of many, for which Slurm's own logs are read where its files do not tell enough."""
    if files.result is not None:
        return state_of(files, None, now)
    sending = queue.last.get(run_id)
    unasked = sending.time if queue.unanswered and sending and sending.remote else None
    sent, place = run_id in queue.sent, queue.places.get(run_id)
    state = state_of(files, place, now, sent=sent, unasked=unasked, dropped=dropped)
    for last in read_attempts(directory.run(run_id))[-1:] if state.state == "lost" else ():
        if line := memory_kill(directory.run(run_id), last.number, last.job_id):
            what = f"its process is gone; Slurm ended it for its memory: {line}"
            return replace(state, kind=Kind.OUT_OF_MEMORY, message=what)
    return state


def _was_taken_from_queue(sending: Sending, failure: Failure | None) -> bool:
    """Whether somebody took a run from the queue before its (next) start: its array task has written nothing since."""
    assert sending.log is not None
    if not sending.log.exists():
        return failure is None or failure.time < sending.time
    _, requeued, since = log_tail(sending.log).rpartition("requeue of job")
    return bool(requeued) and not any(words in since for words in ("not requeued", "Starting with", "started, process"))
