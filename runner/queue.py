"""What the schedulers know of an experiment's runs: one look at Slurm, one at each living pool."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from runner.errors import UserError
from runner.layout import ExperimentDir
from runner.manifest import Submission, submissions
from runner.schedulers import local, slurm


@dataclass(frozen=True)
class Place:
    """Where a run stands in a queue."""

    started: bool  # False: it waits
    job: str  # 12_3, or pool 4711
    submission: int
    reason: str = ""
    final: bool = False  # a failure there is the end of the run; a Slurm task of its own may be requeued after one
    since: float = 0.0  # Unix seconds when the array task was (last) started or sent


@dataclass(frozen=True)
class Queue:
    """The runs that a scheduler still has, and what it could not tell."""

    places: dict[str, Place] = field(default_factory=dict)  # run id → place
    sent: Counter[str] = field(default_factory=Counter)  # run id → how often a scheduler has taken it
    jobs: frozenset[str] | None = None  # all of this user's that Slurm has; None where it was not asked
    unanswered: str | None = None  # why Slurm could not be asked; states are then from files alone


def look(directory: ExperimentDir, wanted: set[str] | None = None) -> Queue:
    """Ask the schedulers about the runs of `directory`; `wanted`: the runs that are not completed (None: all).

    Slurm is asked once, and only when some wanted run was sent there.
    """
    sent = submissions(directory)
    places: dict[str, Place] = {}
    for submission in (s for s in sent if s.kind == "local"):
        _look_at_pool(directory, submission, places)
    remote = [s for s in sent if s.kind == "slurm" and _concerns(s, wanted)]
    jobs = unanswered = None
    if remote:
        try:
            jobs = _look_at_slurm(remote, places)
        except UserError as error:
            unanswered = error.message
    return Queue(places, _times_sent(sent), jobs, unanswered)


def _times_sent(submissions: list[Submission]) -> Counter[str]:
    taken = [(s.tasks, chunk) for s in submissions for chunk in s.chunks if chunk.job_id]
    return Counter(run_id for tasks, c in taken for task in tasks[c.first : c.first + c.count] for run_id in task)


def _concerns(submission: Submission, wanted: set[str] | None) -> bool:
    return wanted is None or any(run_id in wanted for task in submission.tasks for run_id in task)


def _look_at_pool(directory: ExperimentDir, submission: Submission, places: dict[str, Place]) -> None:
    report = local.report(directory, submission.number)
    if report is None:
        return
    for started, run_ids in ((False, report.get("pending", [])), (True, report.get("running", []))):
        for run_id in run_ids:
            job = f"pool {report['pid']}"
            places[run_id] = Place(started, job, submission.number, final=True, since=submission.time)


def _look_at_slurm(sent: list[Submission], places: dict[str, Place]) -> frozenset[str]:
    by_job = {chunk.job_id: (submission, chunk) for submission in sent for chunk in submission.chunks if chunk.job_id}
    by_token = {slurm.comment(chunk.token): (submission, chunk) for submission in sent for chunk in submission.chunks}
    elements = slurm.queue()
    for element in elements:
        found = by_job.get(element.job_id) or by_token.get(element.comment)
        if found is None:
            continue
        submission, chunk = found
        position = chunk.first + element.index
        if element.index >= chunk.count or position >= len(submission.tasks):
            continue
        started = element.state not in slurm.PENDING
        name = f"{element.job_id}_{element.index}" if chunk.count > 1 else element.job_id
        task = submission.tasks[position]
        reason = "" if started else element.reason
        for run_id in task:
            places[run_id] = Place(started, name, submission.number, reason, len(task) > 1, element.start)
    return frozenset(element.job_id for element in elements)
