"""From the path of an experiment file to its task and its checked runs; what most commands begin with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis.thresholds import overridden
from jobs.registry import load_task
from jobs.task import Task
from runner import cluster as clusters
from runner import experiment
from runner.cluster import Cluster, LocalCluster, SlurmCluster
from runner.errors import Mistakes, Problem, UserError
from runner.expansion import Expansion, Run, examine
from runner.experiment import Experiment, ExperimentFile
from runner.layout import ExperimentDir
from runner.schedulers import slurm


@dataclass(frozen=True)
class Loaded:
    """A checked experiment: its task, its runs, its directory, where it is sent."""

    task: Task
    expansion: Expansion
    directory: ExperimentDir
    cluster: Cluster  # local unless it was asked for

    @property
    def experiment(self) -> Experiment:
        return self.expansion.file.experiment

    def models(self, runs: Sequence[Run]) -> list[Any]:
        """The parameters of `runs` as the task's own objects."""
        return [run.model for run in runs]


def load(config: Path, root: Path, overrides: Sequence[str] = ()) -> Loaded:
    """Read, check and expand an experiment file; ConfigError with all its mistakes."""
    loaded, mistakes = _examine(config, root, overrides)
    mistakes.refuse()
    assert loaded is not None  # without a task there is a mistake
    return loaded


def load_for_cluster(config: Path, root: Path, overrides: Sequence[str], name: str | None) -> Loaded:
    """The same with the cluster `name`, else the one that the file names, and what must be given to send runs there."""
    loaded, mistakes = _examine(config, root, overrides)
    file = experiment.examine(config, list(overrides)) if loaded is None else loaded.expansion.file
    cluster = None
    if name is not None or "cluster" not in file.spoilt:
        cluster = _cluster(file, name, mistakes)
    mistakes.refuse()
    assert loaded is not None
    assert cluster is not None
    if isinstance(cluster, SlurmCluster):
        slurm.check_commands()
    return replace(loaded, cluster=cluster)


def _examine(config: Path, root: Path, overrides: Sequence[str]) -> tuple[Loaded | None, Mistakes]:
    file = experiment.examine(config, list(overrides))
    mistakes = Mistakes(list(file.mistakes))
    mistakes.problems += _threshold_problems(file)
    task = None if "task" in file.spoilt else _task(file, mistakes)
    if task is None:
        return None, mistakes
    expansion, problems, rests = examine(file, task.Params, task.seed_key)
    mistakes.problems += problems + _task_problems(task, expansion, rests)
    return Loaded(task, expansion, ExperimentDir(root / file.experiment.experiment), LocalCluster()), mistakes


def _task(file: ExperimentFile, mistakes: Mistakes) -> Task | None:
    try:
        return load_task(file.experiment.task, Path.cwd())
    except UserError as error:
        found = getattr(error, "problems", None) or [Problem(error.message)]
        mistakes.problems += [
            file.source.problem(("task",), p.what, allowed=p.allowed, nearest=p.nearest) for p in found
        ]
        return None


def _threshold_problems(file: ExperimentFile) -> list[Problem]:
    """Unknown names under `health`."""
    gathered = Mistakes()
    with gathered.gathered():
        overridden(file.experiment.health)
    return [
        file.source.problem(("health", (problem.key or "").partition(".")[2]), problem.what, allowed=problem.allowed,
                            nearest=problem.nearest)
        for problem in gathered.problems
    ]  # fmt: skip


def _task_problems(task: Task, expansion: Expansion, rests: Sequence[tuple[str, dict[str, Any]]]) -> list[Problem]:
    """What the task itself finds: a target that the data lacks, more crystals than there are."""
    check = getattr(task, "check", None)
    if check is None:
        return []
    problems = []
    distinct: dict[Any, tuple[str, dict[str, Any]]] = {}
    key_of = getattr(task, "check_key", None)
    for run in expansion.runs:
        # equal sections of runs are one object, so identity tells which were looked at
        key = key_of(run.model) if key_of else tuple(map(id, run.params.values()))
        distinct.setdefault(key, (run.variant, run.params))
    distinct |= {id(params): (variant, params) for variant, params in rests}
    for variant, params in distinct.values():
        report = expansion.reporter(variant)
        for problem in check(params):
            where = tuple(problem.key.split(".")) if problem.key else ()
            problems.append(report(where, problem.what, allowed=problem.allowed, nearest=problem.nearest))
    return problems


def _cluster(file: ExperimentFile, name: str | None, mistakes: Mistakes) -> Cluster | None:
    """The cluster; that its file is missing is a mistake at the key that names it, or at --cluster."""
    wanted = name or file.experiment.cluster
    found = Mistakes()
    cluster = None
    with found.gathered():
        cluster = clusters.load(wanted, file.path)
    for problem in found.problems:
        if problem.file is None and name is not None:
            problem = replace(problem, file=f"--cluster {name}")
        elif problem.file is None:
            problem = file.source.problem(("cluster",), problem.what, allowed=problem.allowed, nearest=problem.nearest)
        mistakes.problems.append(problem)
    if isinstance(cluster, SlurmCluster) and file.experiment.resources.time is None and "resources" not in file.spoilt:
        what = "missing; Slurm needs a time limit"
        mistakes.problems.append(file.source.problem(("resources", "time"), what, allowed="resources: {time: 30m}"))
    return cluster
