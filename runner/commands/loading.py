"""From the path of an experiment file to its task and its checked runs; what most commands begin with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from jobs.task import Task
from jobs.tasks.registry import load_task
from runner.commands import next_stage
from runner.config import cluster as clusters
from runner.config import experiment_file, yaml_source
from runner.config.cluster import Cluster, SlurmCluster
from runner.config.experiment import Experiment
from runner.config.experiment_file import ExperimentFile
from runner.config.key_places import with_place
from runner.config.quantities import unnamed_units
from runner.config.ranking import reported_by, resolved_select
from runner.errors import ConfigError, Mistakes, Problem, UserError, nearest
from runner.health.quantities import Quantity, quantities_of
from runner.health.thresholds import overridden
from runner.matrix.expansion import Expansion, Run, examine
from runner.rundir.layout import ExperimentDir, RunDir
from runner.rundir.ledger import pages


@dataclass(frozen=True)
class Loaded:
    """A checked experiment: its task, its runs, its directory."""

    task: Task
    expansion: Expansion
    directory: ExperimentDir

    @property
    def experiment(self) -> Experiment:
        return self.expansion.file.experiment

    @property
    def advice(self) -> dict[str, str]:
        """Kind of failure → what the task says to do about it, where it knows more than the kind does."""
        return dict(getattr(self.task, "advice", {}))

    def models(self, runs: Sequence[Run]) -> list[Any]:
        """The parameters of `runs` as the task's own objects."""
        return [run.model for run in runs]


@dataclass(frozen=True)
class Destination:
    """Where runs are sent, and what a submission keeps of it to be repeated: `local`, or the text of the file."""

    cluster: Cluster
    text: str


def units_in_words(loaded: Loaded) -> list[str]:
    """How the numbers of `resources` that name no unit were understood."""
    resources = loaded.expansion.file.source.value.get("resources")
    return [f"resources: {text}" for text in unnamed_units(resources if isinstance(resources, dict) else {})]


def load(config: Path, root: Path, overrides: Sequence[str] = (), *, kept: bool = False) -> Loaded:
    """Read, check and expand an experiment file; ConfigError with all its mistakes.

    kept: it is the copy of an earlier submission, beside which the template of the next stage does not lie.
    """
    file, loaded, mistakes = _examine(config, root, overrides)
    mistakes.problems += [] if kept else next_problems(file)
    mistakes.refuse()
    assert loaded is not None  # without a task there is a mistake
    return loaded


def load_with_cluster(
    config: Path, root: Path, overrides: Sequence[str], name: str | None
) -> tuple[Loaded, Destination]:
    """The same with the cluster `name`, else the one that the file names; ConfigError with the mistakes of both."""
    file, loaded, mistakes = _examine(config, root, overrides)
    mistakes.problems += next_problems(file)
    destination = None
    if name is not None or "cluster" not in file.spoilt:
        with mistakes.gathered():
            destination = load_cluster(file, name)
    mistakes.refuse()
    assert loaded is not None
    assert destination is not None
    return loaded, destination


def refuse_bad_data(loaded: Loaded, runs: Sequence[Run]) -> None:
    """Raise ConfigError where a look at all that `runs` will read shows mistakes; may take as long as reading it."""
    Mistakes(
        _task_problems(loaded.task, loaded.expansion, runs, [], "inspect"),
        next_command=f"after fixing the data: runner submit {loaded.expansion.file.path} --dry-run",
    ).refuse()


def refuse_missing(loaded: Loaded, runs: Sequence[Run]) -> None:
    """Raise ConfigError where `runs` need what is not on this machine, but could be fetched before they start."""
    problems = _task_problems(loaded.task, loaded.expansion, runs, [], "missing")
    Mistakes(problems, next_command=f"runner prepare {loaded.expansion.file.path}").refuse()


def refuse_without_time(file: ExperimentFile, cluster: Cluster) -> None:
    """Raise ConfigError where Slurm would be asked for a job without a time limit."""
    if isinstance(cluster, SlurmCluster) and file.experiment.resources.time is None:
        raise ConfigError(
            [
                file.source.problem(
                    ("resources", "time"), "missing; Slurm needs a time limit", allowed="resources: {time: 30m}"
                )
            ]
        )


def _refuse_shared_gpus(file: ExperimentFile) -> None:
    """Raise ConfigError where runs that share a GPU ask for several."""
    gpus, array = file.experiment.resources.gpus, file.experiment.array
    if gpus > 1 and array.share_gpu and array.side_by_side > 1 and "array" not in file.spoilt:
        raise ConfigError(
            [
                file.source.problem(
                    ("resources", "gpus"),
                    f"found {gpus} with {array.side_by_side} runs side by side that share one GPU (array.share_gpu)",
                    allowed="1, or array: {share_gpu: false}",
                )
            ]
        )


def _refuse_processes(file: ExperimentFile, cluster: Cluster) -> None:
    """Raise ConfigError where nothing in a run could start the processes that it asks for."""
    experiment = file.experiment
    fits = experiment.task == "command" and isinstance(cluster, SlurmCluster) and experiment.array.side_by_side == 1
    if experiment.resources.processes > 1 and not fits and not {"task", "array"} & file.spoilt:
        key = "nodes" if experiment.resources.nodes > 1 else "tasks_per_node"
        what = f"found {getattr(experiment.resources, key)}; only a command on Slurm starts further processes, by srun"
        allowed = "1, or task: command, a cluster file of kind slurm, and no array.side_by_side"
        raise ConfigError([file.source.problem(("resources", key), what, allowed=allowed)])


def _examine(config: Path, root: Path, overrides: Sequence[str]) -> tuple[ExperimentFile, Loaded | None, Mistakes]:
    file = experiment_file.examine(config, list(overrides))
    if "adopt" in file.source.value:
        raise UserError(
            f"{config} describes finished runs of another program, which are adopted and never started",
            next_command=f"runner adopt {config} --dry-run",
        )
    mistakes = Mistakes()
    task = None
    if "task" not in file.spoilt:
        with mistakes.gathered():
            task = _task(file)
    mistakes.problems += [with_place(problem, task.Params if task else None) for problem in file.mistakes]
    if task is None:
        return file, None, mistakes
    directory = ExperimentDir(root / file.experiment.experiment)
    search = file.experiment.search
    earlier = pages(directory) if search is not None and search.propose is not None else ()
    proposed = [point for page in earlier for point in page.proposed.values()]
    expansion, problems, rests = examine(file, task.Params, task.seed_key, proposed)
    problems = [with_place(problem, task.Params, of_matrix=True) for problem in problems]
    mistakes.problems += problems + _task_problems(task, expansion, expansion.runs, rests)
    if expansion.runs and "select" not in file.spoilt:
        select, contradictions = resolved_select(file, reported_by(task, (run.model for run in expansion.runs)))
        mistakes.problems += contradictions
        file = replace(file, experiment=file.experiment.model_copy(update={"select": select}))
    quantities = quantities_of(task, [run.model for run in expansion.runs])
    with mistakes.gathered():
        refuse_unknown_thresholds(file, quantities)
    expansion = replace(expansion, file=file, quantities=quantities)
    return file, Loaded(task, _with_known_names(expansion, directory), directory), mistakes


def next_problems(file: ExperimentFile) -> list[Problem]:
    """A template that is missing would end the funnel only when this stage has been trained."""
    following = file.experiment.next
    if following is None or os.path.isfile(path := next_stage.template(following.config, file.path)):
        return []
    what = f"there is no file {following.config!r}, here or in a folder above {file.path}"
    near = nearest(path.name, [entry.name for entry in path.parent.glob("*.yaml")] if path.parent.is_dir() else [])
    guess = str(Path(following.config).with_name(near)) if near else None
    return [
        file.source.problem(("next", "config"), what, allowed="the experiment file of the next stage", nearest=guess)
    ]


def _with_known_names(expansion: Expansion, directory: ExperimentDir) -> Expansion:
    """Runs that exist keep their directories when an axis is added, or axes change places, which changes new names.

    The seed and eight digits of the hash find such a directory; that its parameters are the same decides.
    """
    existing = directory.existing()
    ends = {_end(name): name for name in existing}
    for at, run in enumerate(expansion.runs if existing else ()):
        known = ends.get(_end(run.run_id))
        if known is not None and run.run_id not in existing and _params_of(directory.run(known)) == run.params:
            expansion.runs[at] = replace(run, run_id=known)
    return expansion


def _end(run_id: str) -> str:
    return "-".join(run_id.rsplit("-", 2)[1:])


def _params_of(run: RunDir) -> Any:
    try:
        return yaml_source.read(run.config).value.get("params")
    except UserError:  # gone or damaged: nobody's run
        return None


def _task(file: ExperimentFile) -> Task:
    try:
        return load_task(file.experiment.task, Path.cwd())
    except UserError as error:
        problems = [_at(file, ("task",), p) for p in _problems_of(error)]
        raise ConfigError(problems, next_command=error.next_command) from None


def _problems_of(error: UserError) -> list[Problem]:
    return error.problems if isinstance(error, ConfigError) else [Problem(error.message)]


def _at(file: ExperimentFile, key: yaml_source.Key, problem: Problem) -> Problem:
    return file.source.problem(key, problem.what, allowed=problem.allowed, nearest=problem.nearest)


def refuse_unknown_thresholds(file: ExperimentFile, quantities: Sequence[Quantity]) -> None:
    """Raise ConfigError where `health` names no threshold."""
    try:
        overridden(file.experiment.health, quantities=quantities)
    except ConfigError as error:
        raise ConfigError(
            [_at(file, ("health", (problem.key or "").partition(".")[2]), problem) for problem in error.problems]
        ) from None


def _task_problems(
    task: Task,
    expansion: Expansion,
    runs: Sequence[Run],
    rests: Sequence[tuple[str, dict[str, Any]]],
    method: Literal["check", "inspect", "missing"] = "check",
) -> list[Problem]:
    """What the task itself finds: a target that the data lacks, more crystals than there are."""
    look, key_of = getattr(task, method, None), getattr(task, "check_key", None)
    if look is None:
        return []
    distinct: dict[Any, tuple[str, dict[str, Any]]] = {}
    for run in runs:
        # equal sections of runs are one object, so identity tells which were looked at
        key = key_of(run.model) if key_of else tuple(map(id, run.params.values()))
        distinct.setdefault(key, (run.variant, run.params))
    distinct |= {id(params): (variant, params) for variant, params in rests}
    return [
        expansion.reporter(variant)(
            tuple(problem.key.split(".")) if problem.key else (),
            problem.what,
            allowed=problem.allowed,
            nearest=problem.nearest,
        )
        for variant, params in distinct.values()
        for problem in look(params)
    ]


def load_cluster(file: ExperimentFile, name: str | None) -> Destination:
    """The cluster of --cluster, else the one that `file` names; a mistake of it stands where it is named."""
    wanted = name or file.experiment.cluster
    try:
        cluster = clusters.load(wanted, file.path)
    except ConfigError as error:
        flag = f"--cluster {name}" if name is not None else None
        check = " ".join(["runner submit", str(file.path), *([flag] if flag else []), "--dry-run, after fixing it"])
        raise ConfigError(
            [
                p if p.file else replace(p, file=flag) if flag else _at(file, ("cluster",), p)
                for p in _problems_of(error)
            ],
            next_command=error.next_command or check,
        ) from None
    if "resources" not in file.spoilt:
        refuse_without_time(file, cluster)
        _refuse_shared_gpus(file)
        _refuse_processes(file, cluster)
    return Destination(cluster, clusters.text_of(wanted, file.path))
