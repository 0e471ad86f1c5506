"""What an experiment directory says of itself: its runs, and what was sent where."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from runner.errors import CommandFailed, UserError
from runner.files import append_json, read_json, read_json_lines, read_mapping, refuse_links, write_json
from runner.health.quantities import as_data
from runner.rundir.layout import ExperimentDir
from runner.rundir.lock import Locked, locked

if TYPE_CHECKING:
    from runner.matrix.expansion import (
        Expansion,  # the schemas of pydantic, which those who only look need not wait for
    )

T = TypeVar("T")


@dataclass(frozen=True)
class PlannedRun:
    """A run as the manifest lists it."""

    number: int
    run_id: str
    variant: str
    seed: int
    axes: dict[str, Any]
    params: dict[str, Any]


@dataclass(frozen=True)
class Manifest:
    """The runs of an experiment, as last submitted."""

    experiment: str
    task: str
    runs: list[PlannedRun]
    content: dict[str, Any]  # the whole file: select, baseline, next, …


def write(directory: ExperimentDir, expansion: Expansion, task_name: str) -> None:
    """Write the manifest of `expansion`; the time of the first submission is kept."""
    experiment = expansion.file.experiment
    before = read_json(directory.manifest)
    created = before.get("created") if isinstance(before, dict) else None
    write_json(
        directory.manifest,
        {
            "experiment": experiment.experiment,
            "description": experiment.description,
            "task": task_name,
            "adopted": experiment.adopt is not None,
            "created": created or time.time(),
            "updated": time.time(),
            "config": str(expansion.file.path),
            "axes": expansion.axes,
            "baseline": expansion.baseline,
            "select": experiment.select.model_dump(mode="json"),
            "health": experiment.health,
            "quantities": as_data(expansion.quantities),
            "target_mae": experiment.target_mae.model_dump() if experiment.target_mae else None,
            "retry": experiment.retry.model_dump(mode="json"),
            "promoted": experiment.promoted,
            "next": experiment.next.model_dump(mode="json") if experiment.next else None,
            "runs": [
                {"run_id": r.run_id, "variant": r.variant, "seed": r.seed, "axes": r.axes, "params": r.params}
                for r in expansion.runs
            ],
        },
        indent=None,
    )


def read(directory: ExperimentDir) -> Manifest:
    """The manifest of an experiment directory; UserError when there is none or it is damaged."""
    content = read_json(directory.manifest)
    if not isinstance(content, dict) or not isinstance(content.get("runs"), list):
        what = "is damaged" if directory.manifest.exists() else "is missing"
        raise UserError(
            f"{directory.manifest} {what}: {directory.path} is not an experiment directory",
            next_command="runner submit CONFIG",
        )
    try:
        runs = [_planned(number, run) for number, run in enumerate(content["runs"], 1)]
        sections = {name: _typed(content.get(name) or {}, dict, name) for name in ("select", "retry")}
        names = (_typed(content["experiment"], str, "experiment"), _typed(content["task"], str, "task"))
    except KeyError as error:
        raise _damaged(directory, f"{error} is missing") from None
    except ValueError as error:
        raise _damaged(directory, str(error)) from None
    return Manifest(*names, runs, {**content, **sections})


def refuse_adopted(directory: ExperimentDir) -> None:
    """Raise UserError where the runs of `directory` are another program's, which nothing of ours starts again."""
    content = read_mapping(directory.manifest)
    if content.get("adopted") is True:
        raise UserError(
            f"{directory.path} holds adopted runs of another program: they are read, and never submitted",
            next_command=f"runner adopt {content.get('config')}, which reads what has changed",
        )


def _damaged(directory: ExperimentDir, what: str) -> UserError:
    return UserError(f"{directory.manifest} is damaged: {what}", next_command="runner submit CONFIG")


def _planned(number: int, run: Any) -> PlannedRun:
    """A run of the manifest; ValueError or KeyError where it is none. A run id names a directory: no separator."""
    run = _typed(run, dict, f"run {number}")
    run_id = _typed(run["run_id"], str, "run_id")
    if not run_id or run_id in (".", "..") or "/" in run_id or "\0" in run_id:
        raise ValueError(f"run_id {run_id!r} names no directory")
    variant, seed = _typed(run["variant"], str, "variant"), _typed(run["seed"], int, "seed")
    return PlannedRun(
        number, run_id, variant, seed, _typed(run["axes"], dict, "axes"), _typed(run["params"], dict, "params")
    )


def _typed(value: Any, kind: type[T], name: str) -> T:
    if not isinstance(value, kind):
        raise ValueError(f"{name} is {str(value)[:80]!r}")
    return value


@dataclass(frozen=True)
class Chunk:
    """One array: which array tasks of a submission it holds, and what the scheduler calls it."""

    submission: int
    token: str  # written before sbatch, in --comment, so that an array without a saved id is found
    first: int  # index of its first task in tasks.json
    count: int
    job_id: str | None  # None: sbatch was never confirmed


@dataclass(frozen=True)
class Submission:
    """One `runner submit`: its array tasks, each a list of run ids."""

    number: int
    kind: str  # local or slurm
    time: float
    tasks: list[list[str]]
    chunks: list[Chunk]
    origin: dict[str, Any]  # overrides, cluster, --cluster and folders, to repeat it
    user: int  # id of who sent it
    commands: dict[str, str] = field(default_factory=dict)  # Slurm's, where the site wraps them


def next_number(directory: ExperimentDir) -> int:
    """The number of the next submission, counted from 1."""
    numbers = [int(entry.name) for entry in directory.submissions.glob("*") if entry.name.isdigit()]
    return max(numbers, default=0) + 1


def log_submission(directory: ExperimentDir, record: dict[str, Any]) -> None:
    """Append one line to submissions.jsonl."""
    append_json(directory.submission_log, {"time": time.time(), **record})


def submissions(directory: ExperimentDir) -> list[Submission]:
    """Every submission that was begun, oldest first; lines of the log that are damaged are left out."""
    found: dict[int, dict[str, Any]] = {}
    chunks: dict[tuple[int, str], Chunk] = {}
    for record in read_json_lines(directory.submission_log):
        number, event, token = (record.get(name) for name in ("submission", "event", "token"))
        if not isinstance(number, int):
            continue
        if event == "begun" and isinstance(record.get("time"), (int, float)):
            found[number] = record
        elif not isinstance(token, str):
            continue
        elif event == "sending":
            first, count = record.get("first"), record.get("count")
            if isinstance(first, int) and isinstance(count, int):
                chunks[number, token] = Chunk(number, token, first, count, None)
        elif event == "sent" and (number, token) in chunks and record.get("job_id") is not None:
            chunks[number, token] = replace(chunks[number, token], job_id=str(record["job_id"]))
    result = []
    for number, record in sorted(found.items()):
        own = [chunk for (of, _), chunk in chunks.items() if of == number]
        origin = {name: record.get(name) for name in ("overrides", "cluster", "folder", "cluster_option", "config_dir")}
        tasks = _tasks(directory, number)
        user, commands = record.get("user"), record.get("commands")
        result.append(
            Submission(number, str(record.get("kind")), record["time"], tasks, own, origin,
                       user if isinstance(user, int) else _owner(directory, number),
                       commands if isinstance(commands, dict) else {})
        )  # fmt: skip
    return result


def _owner(directory: ExperimentDir, number: int) -> int:
    """Whose submission it is where an older version did not write that down."""
    try:
        return directory.submission(number).stat().st_uid
    except OSError:
        return os.getuid()


def _tasks(directory: ExperimentDir, number: int) -> list[list[str]]:
    """Run ids of each array task of a submission; none where the file is damaged."""
    tasks = read_mapping(directory.pool_tasks(number)).get("tasks")
    if not isinstance(tasks, list) or not all(isinstance(task, list) for task in tasks):
        return []
    return [[str(run_id) for run_id in task] for task in tasks]


def submission(directory: ExperimentDir, number: int) -> Submission:
    """Submission `number`; UserError when there is none."""
    for found in submissions(directory):
        if found.number == number:
            return found
    raise UserError(f"{directory.path} has no submission {number}")


def helper_jobs(directory: ExperimentDir) -> list[str]:
    """Ids of the jobs beside the arrays, that supervise or prepare; also of those that ended long ago."""
    lines = read_json_lines(directory.submission_log)
    return [str(line["job_id"]) for line in lines if line.get("event") in ("supervised", "preparing")]


def supervision(directory: ExperimentDir) -> dict[str, Any]:
    """The last word about the experiment's supervision: {event, job_id or message, submission}; empty: it has none.

    event: supervised, supervision_failed or supervision_ended.
    """
    lines = read_json_lines(directory.submission_log)
    return next((line for line in reversed(lines) if str(line.get("event")).startswith("supervis")), {})


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
