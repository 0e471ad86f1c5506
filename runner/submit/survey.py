"""The states of many runs, from their files and one look at the schedulers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from runner.files import as_number
from runner.rundir.attempts import log_tail, memory_kill, read_attempts
from runner.rundir.failures import Kind, kind_of
from runner.rundir.layout import ExperimentDir, RunDir
from runner.rundir.ledger import dropped_runs
from runner.rundir.states import RunState, Signs, read_signs, state_of
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
    signs = {run_id: read_signs(f"{runs}/{run_id}") for run_id in run_ids}
    unfinished = {run_id for run_id, its in signs.items() if its.result is None}
    queue = look(directory, unfinished, signs)
    for run_id in unfinished - queue.places.keys():
        signs[run_id] = read_signs(f"{runs}/{run_id}")
    ended = dropped_runs(directory)
    states = {
        run_id: _surveyed(directory.run(run_id), its, queue, now, ended.get(run_id)) for run_id, its in signs.items()
    }
    _mark_cancelled(states, signs, queue)
    return states, queue


def _mark_cancelled(states: dict[str, RunState], signs: Mapping[str, Signs], queue: Queue) -> None:
    """Those that were taken from Slurm's queue before their start, which the accounting does not record.

    Not where slurmctld was started after they were sent, since it may have lost them, nor where the accounting knows
    another end: a node that cannot start an array task leaves no log either.
    """
    taken = [
        run_id
        for run_id, state in states.items()
        if (state.state == "lost" or (state.state == "failed" and kind_of(state.kind).retried))
        and _was_taken_from_queue(queue.last.get(run_id), signs[run_id].failure)
    ]
    if not taken or queue.unanswered:
        return
    boot = slurm.boot_time(queue.commands)
    elements = {run_id: log.name.removesuffix("_0_log.out") for run_id in taken if (log := queue.last[run_id].log)}
    ended = slurm.ended_elements(queue.commands, {name.partition("_")[0] for name in elements.values()})
    what = "taken from Slurm's queue before it started, as scancel does"
    for run_id, name in elements.items():
        if queue.last[run_id].time > boot and name not in ended:
            states[run_id] = replace(states[run_id], state="cancelled", kind=Kind.CANCELLED, message=what)


def _surveyed(run: RunDir, signs: Signs, queue: Queue, now: float, dropped: str | None) -> RunState:
    """The state of one run of many, for which Slurm's own logs are read where its files do not tell enough."""
    if signs.result is not None:
        return state_of(signs, None, now)
    sending = queue.last.get(run.run_id)
    unasked = sending.time if queue.unanswered and sending and sending.remote else None
    sent = run.run_id in queue.sent
    state = state_of(signs, queue.places.get(run.run_id), now, sent=sent, unasked=unasked, dropped=dropped)
    last = read_attempts(run)[-1:] if state.state == "lost" else []
    if last and (line := memory_kill(run, last[0].number, last[0].job_id)):
        what = f"its process is gone; Slurm ended it for its memory: {line}"
        return replace(state, kind=Kind.OUT_OF_MEMORY, message=what)
    return state


def _was_taken_from_queue(sending: Sending | None, failure: Mapping[str, Any]) -> bool:
    """Whether somebody took a run from the queue before its (next) start: its array task has written nothing since."""
    if sending is None or not sending.remote or sending.log is None:
        return False
    if not sending.log.exists():
        return (as_number(failure.get("time")) or 0.0) < sending.time
    _, requeued, since = log_tail(sending.log).rpartition("requeue of job")
    return bool(requeued) and not any(words in since for words in ("not requeued", "Starting with", "started, process"))
