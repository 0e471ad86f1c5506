"""From the path of an experiment file to its task and its checked runs; what most commands begin with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jobs.registry import load_task
from jobs.task import Task
from runner import cluster as clusters
from runner import experiment
from runner.errors import ConfigError, Problem
from runner.expansion import Expansion, Run, expand
from runner.experiment import Experiment
from runner.layout import ExperimentDir


@dataclass(frozen=True)
class Loaded:
    """A checked experiment: its task, its runs, its directory."""

    task: Task
    expansion: Expansion
    directory: ExperimentDir

    @property
    def experiment(self) -> Experiment:
        return self.expansion.file.experiment

    def models(self, runs: Sequence[Run]) -> list[Any]:
        """The parameters of `runs` as the task's own objects; equal ones once."""
        return [self.task.Params.model_validate(run.params) for run in runs]


def load(config: Path, root: Path, overrides: Sequence[str] = ()) -> Loaded:
    """Read, check and expand an experiment file; ConfigError with all its mistakes."""
    file = experiment.load(config, list(overrides))
    try:
        task = load_task(file.experiment.task, Path.cwd())
    except ConfigError as error:
        raise ConfigError(
            [file.source.problem(("task",), p.what, allowed=p.allowed, nearest=p.nearest) for p in error.problems]
        ) from None
    expansion = expand(file, task.Params, task.seed_key)
    if problems := _task_problems(task, expansion, expansion.runs, "check"):
        raise ConfigError(problems)
    return Loaded(task, expansion, ExperimentDir(root / file.experiment.experiment))


def refuse_missing(loaded: Loaded, runs: Sequence[Run]) -> None:
    """Raise ConfigError where `runs` need what is not on this machine, but could be fetched before they start."""
    if problems := _task_problems(loaded.task, loaded.expansion, runs, "missing"):
        raise ConfigError(problems, next_command=f"runner prepare {loaded.expansion.file.path}")


def _task_problems(
    task: Task, expansion: Expansion, runs: Sequence[Run], method: Literal["check", "missing"]
) -> list[Problem]:
    """What the task itself finds: a target that the data lacks, more crystals than there are."""
    look = getattr(task, method, None)
    if look is None:
        return []
    problems, seen = [], set()
    for run in runs:
        key = tuple(_part(run.params, name) for name in getattr(task, "checked", run.params))
        if key in seen:
            continue
        seen.add(key)
        report = expansion.reporter(run.variant)
        for problem in look(run.params):
            where = tuple(problem.key.split(".")) if problem.key else ()
            problems.append(report(where, problem.what, allowed=problem.allowed, nearest=problem.nearest))
    return problems


def _part(params: Mapping[str, Any], name: str) -> Any:
    """Stands for a section of the parameters, or for one plain value of it (`train.epochs`).

    Equal sections of runs are one object, so identity tells which were looked at.
    """
    section, _, key = name.partition(".")
    return params[section][key] if key else id(params[section])


def load_cluster(loaded: Loaded, name: str | None) -> tuple[clusters.Cluster, str]:
    """The cluster of --cluster, else the one that the experiment file names; and what a submission keeps of it."""
    wanted, beside = name or loaded.experiment.cluster, loaded.expansion.file.path
    return clusters.load(wanted, beside), clusters.text_of(wanted, beside)
