"""What the schedulers know of an experiment's runs: one look at Slurm, one at each living pool."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from runner.errors import UserError
from runner.rundir.layout import ExperimentDir
from runner.rundir.manifest import Chunk, Submission, submissions
from runner.rundir.states import QueueEntry
from runner.slurm_commands import SlurmCommands
from runner.submit.schedulers import local, slurm


class Sending(NamedTuple):  # a tuple, since there is one for each of ten thousand runs
    """The last time that a run was sent."""

    remote: bool  # to Slurm
    time: float  # Unix seconds
    logs: Path  # the folder of those of its submission
    chunk: Chunk
    element: int  # of the chunk: its array task

    @property
    def log(self) -> Path | None:
        """Of its array task; None where the array's id was never confirmed."""
        job_id = self.chunk.job_id if self.remote else None
        return slurm.log(self.logs, job_id, self.element, self.chunk.count) if job_id else None


@dataclass(frozen=True)
class Queue:
    """The runs that a scheduler still has, and what it could not tell."""

    places: dict[str, QueueEntry] = field(default_factory=dict)  # run id → place
    sent: Counter[str] = field(default_factory=Counter)  # run id → how often a scheduler has taken it
    last: dict[str, Sending] = field(default_factory=dict)  # run id → its last sending
    jobs: frozenset[str] | None = None  # all that Slurm has of those who sent runs; None where it was not asked
    unanswered: str | None = None  # why Slurm could not be asked; states are then from files alone
    commands: SlurmCommands = field(default_factory=SlurmCommands)  # as the site calls them


def look(directory: ExperimentDir, wanted: Collection[str] | None = None, known: Collection[str] = ()) -> Queue:
    """Ask the schedulers about the runs of `directory`; `wanted`: the runs that are not completed (None: all).

    Slurm is asked once, and only when a wanted run was sent there, or one that is not among the `known` ones and has no
    result: the experiment file no longer has it. It is asked for the jobs of those who sent them, whoever asks.
    """
    sent = submissions(directory)
    places: dict[str, QueueEntry] = {}
    for submission in (s for s in sent if s.kind == "local"):
        _look_at_pool(directory, submission, places)
    remote = [s for s in sent if s.kind == "slurm" and _concerns(directory, s, wanted, known)]
    commands = SlurmCommands(remote[-1].commands if remote else {})
    jobs = unanswered = None
    if remote:
        users = {s.user for s in remote}
        try:
            jobs = _look_at_slurm(remote, places, slurm.queue(commands, users))
            if users != {os.getuid()} and "jobs" in commands.setting("PrivateData").split(","):
                unanswered = "this site shows nobody the jobs of other users"
        except UserError as error:
            unanswered = error.message
    return Queue(places, _times_sent(sent), last_sendings(directory, sent), jobs, unanswered, commands)


def _times_sent(submissions: list[Submission]) -> Counter[str]:
    taken = [task for sent in submissions for chunk in sent.chunks if chunk.job_id for task in chunk.of(sent.tasks)]
    return Counter(run_id for task in taken for run_id in task)


def last_sendings(directory: ExperimentDir, submissions: list[Submission]) -> dict[str, Sending]:
    """Run id → the last time that it was sent."""
    last: dict[str, Sending] = {}
    for sent in submissions:
        remote, folder = sent.kind == "slurm", directory.slurm_logs(sent.number)
        for chunk in sent.chunks:
            for index, task in enumerate(chunk.of(sent.tasks)):
                last |= dict.fromkeys(task, Sending(remote, sent.time, folder, chunk, index))
    return last


def _concerns(
    directory: ExperimentDir, submission: Submission, wanted: Collection[str] | None, known: Collection[str]
) -> bool:
    return wanted is None or any(
        run_id in wanted or (run_id not in known and not directory.run(run_id).result.exists())
        for task in submission.tasks
        for run_id in task
    )


def _look_at_pool(directory: ExperimentDir, submission: Submission, places: dict[str, QueueEntry]) -> None:
    if report := local.report(directory, submission.number):
        for started, run_ids in ((False, report.pending), (True, report.running)):
            entry = QueueEntry(started, f"pool {report.pid}", submission.number, final=True, since=submission.time)
            places |= dict.fromkeys(run_ids, entry)


def _look_at_slurm(
    sent: list[Submission], places: dict[str, QueueEntry], elements: list[slurm.Element]
) -> frozenset[str]:
    by_job = {chunk.job_id: (submission, chunk) for submission in sent for chunk in submission.chunks if chunk.job_id}
    by_token = {slurm.comment(chunk.token): (submission, chunk) for submission in sent for chunk in submission.chunks}
    for element in elements:
        owner = by_job.get(element.job_id) or by_token.get(element.comment)
        if owner is None or element.index >= len(tasks := owner[1].of(owner[0].tasks)):
            continue
        started = element.state not in slurm.PENDING
        name = f"{element.job_id}_{element.index}" if owner[1].count > 1 else element.job_id
        task, reason = tasks[element.index], "" if started else element.reason
        entry = QueueEntry(started, name, owner[0].number, reason, len(task) > 1, element.start)
        places |= dict.fromkeys(task, entry)
    return frozenset(element.job_id for element in elements)
