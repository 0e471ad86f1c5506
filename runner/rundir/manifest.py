"""manifest.json and submissions.jsonl: the runs of an experiment, what ranks them, and what was sent where."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from runner.errors import CommandFailed, UserError
from runner.files import append_json, read_json, read_json_lines, read_mapping, refuse_links, write_json
from runner.health.quantities import as_data
from runner.record import JobId, Record
from runner.rundir.layout import ExperimentDir
from runner.rundir.lock import Locked, locked
from runner.rundir.planned import Manifest

if TYPE_CHECKING:
    from runner.matrix.expansion import (
        Expansion,  # the schemas of pydantic, which those who only look need not wait for
    )


def write(
    directory: ExperimentDir, expansion: Expansion, task_name: str, advice: Mapping[str, str] | None = None
) -> None:
    """Write the manifest of `expansion`; the time of the first submission is kept.

    advice: kind of failure → what the task says to do about it.
    """
    experiment = expansion.file.experiment
    write_json(
        directory.manifest,
        {
            "experiment": experiment.experiment,
            "description": experiment.description,
            "task": task_name,
            "adopted": experiment.adopt is not None,
            "created": _without_runs(directory).created or time.time(),
            "updated": time.time(),
            "config": str(expansion.file.path),
            "axes": expansion.axes,
            "baseline": expansion.baseline,
            "select": experiment.select.model_dump(mode="json"),
            "health": experiment.health,
            "quantities": as_data(expansion.quantities),
            "target_mae": experiment.target_mae.model_dump() if experiment.target_mae else None,
            "retry": experiment.retry.model_dump(mode="json"),
            "advice": dict(advice or {}),
            "promoted": experiment.promoted,
            "next": experiment.next.model_dump(mode="json") if experiment.next else None,
            **({"search": expansion.search.model_dump(mode="json")} if expansion.search else {}),
            "runs": [
                {"run_id": r.run_id, "variant": r.variant, "seed": r.seed, "axes": r.axes, "params": r.params}
                | ({"point": r.point, "rung": r.rung} if experiment.search else {})
                for r in expansion.runs
            ],
        },
        indent=None,
    )


def read(directory: ExperimentDir) -> Manifest:
    """The manifest of an experiment directory; runs that are damaged are left out, and counted on stderr.

    Raises CommandFailed where there is none, or nothing of it can be read.
    """
    content = read_json(directory.manifest)
    listed = content.get("runs") if isinstance(content, dict) else None
    manifest = Manifest.of(content)
    if manifest is None or not isinstance(listed, list) or (listed and not manifest.runs):
        what = f"{directory.path} has no manifest.json: not the directory of an experiment, or nothing was submitted"
        if os.path.lexists(directory.manifest):
            what = f"{directory.manifest} is damaged: truncated, or not a manifest; submitting again keeps the runs"
        raise CommandFailed(what, next_command="runner submit CONFIG")
    if lost := len(listed) - len(manifest.runs):
        print(f"warning: {directory.manifest}: {lost} runs are damaged and left out", file=sys.stderr, flush=True)
    axes = manifest.axes or list(dict.fromkeys(axis for run in manifest.runs for axis in run.axes))
    target = manifest.target_mae or manifest.select.target_mae
    name = manifest.experiment or directory.path.resolve().name
    return replace(manifest, experiment=name, axes=axes, target_mae=target)


def refuse_adopted(directory: ExperimentDir) -> None:
    """Raise UserError where the runs of `directory` are another program's, which nothing of ours starts again."""
    manifest = _without_runs(directory)
    if manifest.adopted:
        raise UserError(
            f"{directory.path} holds adopted runs of another program: they are read, and never submitted",
            next_command=f"runner adopt {manifest.config}, which reads what has changed",
        )


def _without_runs(directory: ExperimentDir) -> Manifest:
    """The manifest without its runs; an empty one where it cannot be read."""
    return Manifest.of({**read_mapping(directory.manifest), "runs": []}) or Manifest()


def run_ids(directory: ExperimentDir) -> set[str]:
    """The runs that the manifest lists; empty where it cannot be read. Quick, for 100,000 of them."""
    runs = read_mapping(directory.manifest).get("runs")
    every = (run.get("run_id") for run in runs if isinstance(run, dict)) if isinstance(runs, list) else ()
    return {run_id for run_id in every if isinstance(run_id, str)}


@dataclass(frozen=True)
class Chunk:
    """One array: which array tasks of a submission it holds, and what the scheduler calls it."""

    submission: int
    token: str  # written before sbatch, in --comment, so that an array without a saved id is found
    first: int  # index of its first task in tasks.json
    count: int
    job_id: str | None  # None: sbatch was never confirmed

    def of(self, tasks: list[list[str]]) -> list[list[str]]:
        """Its own among the tasks of its submission."""
        return tasks[self.first : self.first + self.count]


@dataclass(frozen=True)
class Origin(Record):
    """Where a submission comes from, kept so that `resubmit` can repeat it from anywhere."""

    overrides: list[str]  # of --set
    cluster: str  # local, or the text of the cluster file; kept: the name of its copy
    folder: str  # the working directory, against which relative paths of data and code are meant
    cluster_option: str | None = None  # --cluster, for the commands that are proposed later
    config_dir: str | None = None  # folder of the experiment file, of which a submission keeps a copy elsewhere


@dataclass(frozen=True)
class Entry(Record):
    """A line of submissions.jsonl."""

    event: str  # begun, sending, sent, preparing, supervised, supervision_failed or supervision_ended
    submission: int | None = None
    time: float | None = None
    token: str | None = None
    first: int | None = None
    count: int | None = None
    job_id: JobId | None = None
    kind: str | None = None  # local or slurm
    user: int | None = None
    commands: dict[str, Any] = field(default_factory=dict)
    message: str | None = None
    origin: Origin | None = None

    readers: ClassVar = {"origin": Origin.of}


@dataclass(frozen=True)
class Submission:
    """One `runner submit`: its array tasks, each a list of run ids."""

    number: int
    kind: str  # local or slurm
    time: float
    tasks: list[list[str]]
    chunks: list[Chunk]
    origin: Origin | None  # None: damaged
    user: int  # id of who sent it
    commands: dict[str, str] = field(default_factory=dict)  # Slurm's, where the site wraps them


def next_number(directory: ExperimentDir) -> int:
    """The number of the next submission, counted from 1."""
    numbers = [int(entry.name) for entry in directory.submissions.glob("*") if entry.name.isdigit()]
    return max(numbers, default=0) + 1


def log_submission(directory: ExperimentDir, record: dict[str, Any]) -> None:
    """Append one line to submissions.jsonl: the fields of an Entry, and of its Origin."""
    append_json(directory.submission_log, {"time": time.time(), **record})


def entries(directory: ExperimentDir) -> list[Entry]:
    """The lines of submissions.jsonl that can be read."""
    lines = read_json_lines(directory.submission_log)
    return [entry for line in lines if (entry := Entry.of({**line, "origin": line})) is not None]


def submissions(directory: ExperimentDir) -> list[Submission]:
    """Every submission that was begun, oldest first; lines of the log that are damaged are left out."""
    begun: dict[int, Entry] = {}
    chunks: dict[int, dict[str, Chunk]] = {}
    for entry in entries(directory):
        number, token = entry.submission or 0, entry.token  # one without a number belongs to none
        sent = chunks.setdefault(number, {})
        if entry.event == "begun" and entry.time is not None and number:
            begun[number] = entry
        elif entry.event == "sending" and token and entry.first is not None and entry.count is not None:
            sent[token] = Chunk(number, token, entry.first, entry.count, None)
        elif entry.event == "sent" and token in sent:
            sent[token] = replace(sent[token], job_id=entry.job_id)
    return [
        Submission(number, str(entry.kind), entry.time or 0.0, _tasks(directory, number), [*chunks[number].values()],
                   entry.origin, _owner(directory, number) if entry.user is None else entry.user, entry.commands)
        for number, entry in sorted(begun.items())
    ]  # fmt: skip


def _owner(directory: ExperimentDir, number: int) -> int:
    """Whose submission it is where an older version did not write that down."""
    with suppress(OSError):
        return directory.submission(number).stat().st_uid
    return os.getuid()


def _tasks(directory: ExperimentDir, number: int) -> list[list[str]]:
    """Run ids of each array task of a submission; none where the file is damaged."""
    tasks = read_mapping(directory.pool_tasks(number)).get("tasks")
    if not isinstance(tasks, list) or not all(isinstance(task, list) for task in tasks):
        return []
    return [[str(run_id) for run_id in task] for task in tasks]


def submission(directory: ExperimentDir, number: int) -> Submission:
    """Submission `number`; CommandFailed when there is none."""
    if sent := next((sent for sent in submissions(directory) if sent.number == number), None):
        return sent
    raise CommandFailed(f"{directory.path} has no submission {number}")


def supervision(directory: ExperimentDir) -> Entry | None:
    """The last word about the experiment's supervision: supervised, supervision_failed or supervision_ended."""
    return next((entry for entry in reversed(entries(directory)) if entry.event.startswith("supervis")), None)


@contextmanager
def submit_lock(directory: ExperimentDir) -> Iterator[None]:
    """Hold the experiment for one submission; CommandFailed when another one holds it."""
    try:
        directory.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandFailed(f"cannot make the directory {directory.path}: {error.strerror}",
                            next_command="another --root, or RUNNER_ROOT") from None  # fmt: skip
    refuse_links(*directory.folders)
    try:
        with locked(directory.submit_lock):
            yield
    except Locked as other:
        raise CommandFailed(
            f"another submission of {directory.path.name} is under way ({other}); nothing was submitted",
            next_command=f"runner status {directory.path.name}",
        ) from None
