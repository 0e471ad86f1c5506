"""The arguments and options that several commands share, and the runs and variants that they name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from analysis.collect.manifest import read_manifest
from analysis.formatting import listed
from analysis.output.writing import Format
from analysis.rank.choice import Choice
from analysis.rank.ranking import Variant
from analysis.rank.summary import Summary, summarize
from runner.errors import CommandFailed, UserError
from runner.health.thresholds import DEFAULT, Thresholds
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir, RunDir
from runner.submit.run_selection import choose_run, filter_runs
from runner.submit.selection import experiment_directory
from runner.terminal import RUN_SYNTAX

CHECKPOINT = ".pt"  # how the name of a checkpoint ends

Experiment = Annotated[
    str | None,
    typer.Argument(
        help="A directory, a name under the root, or an experiment file; left out: the most recently submitted.",
        show_default=False,
    ),
]
ExperimentOrRun = Annotated[
    str | None,
    typer.Argument(
        help="A directory (of a run: that run alone), a name under the root, or an experiment file; "
        "left out: the most recently submitted.",
        show_default=False,
    ),
]
Root = Annotated[Path, typer.Option("--root", envvar="RUNNER_ROOT", help="Where experiments live.")]
DEFAULT_ROOT = Path("runs")


FormatOption = Annotated[Format, typer.Option("--format", help="How the result is written to stdout.")]

RUN_HELP = f"A run's directory, or {RUN_SYNTAX}."
CHECKPOINT_HELP = "Another checkpoint of the run, as `analysis rescale` writes; alone it stands for the run it lies in."
OfExperiment = Annotated[
    str | None,
    typer.Option(
        "--experiment", "-e", help="The run's experiment; left out: the most recently submitted.", show_default=False
    ),
]


def summary_of(experiment: str | None, root: Path) -> Summary:
    """The summary of the experiment that is named, or of the most recently submitted one."""
    return summarize(experiment_directory(experiment, root).path)


def variant_named(summary: Summary, name: str) -> Variant:
    """A variant, or some runs of one, in the syntax that names runs everywhere.

    Raises UserError where that means none, or runs of several variants.
    """
    ids = {plan.run_id for plan in filter_runs([run.plan for run in summary.collection.runs], [name])}
    named = [variant for variant in summary.variants if ids & {run.run_id for run in variant.runs}]
    if len(named) > 1:
        names = listed([variant.name for variant in named], 8)
        raise UserError(f"{name!r} means runs of {len(named)} variants: {names}; name one")
    (variant,) = named
    runs, scored = (tuple(run for run in part if run.run_id in ids) for part in (variant.runs, variant.scored))
    whole = runs == variant.runs and (name == variant.name or not runs[0].run_id.startswith(name))
    label = variant.name if whole else runs[0].run_id if len(runs) == 1 else name
    return replace(variant, name=label, runs=runs, scored=scored)


def choice_of(summary: Summary) -> Choice:
    """What the experiment chose; CommandFailed where no run has completed."""
    if summary.choice is None:
        path = summary.collection.directory.path
        raise CommandFailed(f"no run of {path} has completed: nothing to choose", next_command=f"runner status {path}")
    return summary.choice


def variants_named(summary: Summary, names: Sequence[str]) -> list[Variant]:
    """The variants with these names; all of them where none is given."""
    return [variant_named(summary, name) for name in names] if names else list(summary.variants)


def run_named(name: str, experiment: str | None, root: Path) -> RunDir:
    """The directory of one run: a path, or a run of `experiment` (of the most recently submitted) as `runner` names it.

    UserError where there is none, CommandFailed where it has not started.
    """
    if RunDir(Path(name)).config.is_file():
        return RunDir(Path(name))
    directory = experiment_directory(experiment, root)
    run = directory.run(choose_run(manifest.read(directory).runs, name).run_id)
    if not run.path.is_dir():
        raise CommandFailed(f"{run.run_id} has not started", next_command=f"runner status {directory.path}")
    return run


def is_run(run: RunDir) -> bool:
    """Whether the files of a run lie there; a copy may lack some."""
    return any(file.is_file() for file in (run.config, run.result, run.predictions))


def run_of(checkpoint: Path) -> RunDir:
    """The run that a checkpoint belongs to: the one in whose directory it lies; UserError where there is none."""
    run = RunDir(checkpoint.parent)
    if not checkpoint.is_file():
        raise UserError(f"there is no checkpoint {checkpoint}")
    if not run.config.is_file():
        raise UserError(
            f"{checkpoint} lies in no run directory, so what it was trained on is unknown",
            next_command="put it beside the best.pt of its run, or name the run before --checkpoint",
        )
    return run


def run_and_checkpoint(
    name: str | None, checkpoint: Path | None, experiment: str | None, root: Path
) -> tuple[RunDir, Path | None]:
    """The run and the checkpoint that are meant: a checkpoint alone stands for its run, a run alone for its best.pt.

    Raises UserError where the checkpoint lies in the directory of another run than the one that is named.
    """
    if name is not None and Path(name).suffix == CHECKPOINT:
        if checkpoint is not None:
            raise UserError(f"two checkpoints are given, {name} and {checkpoint}; name one, or a run and one")
        checkpoint, name = Path(name), None
    if checkpoint is None:
        assert name is not None
        return run_named(name, experiment, root), None
    if name is None:
        return run_of(checkpoint), checkpoint
    run, owner = run_named(name, experiment, root), RunDir(checkpoint.parent)
    if owner.config.is_file() and owner.path.resolve() != run.path.resolve():
        raise UserError(f"{checkpoint} belongs to the run {owner.path.resolve().name}, not to {run.run_id}")
    return run, checkpoint


def runs_meant(name: str | None, experiment: str | None, root: Path) -> list[RunDir]:
    """The run that `name` means, or the best completed run of every variant where it means an experiment."""
    if name is not None and (experiment is not None or not _is_experiment(name, root)):
        return [run_named(name, experiment, root)]
    summary = summary_of(name if name is not None else experiment, root)
    select, directory = summary.collection.manifest.select, summary.collection.directory
    return [directory.run(run.run_id) for variant in summary.variants if (run := variant.best_run(select))]


def _is_experiment(name: str, root: Path) -> bool:
    named = Path(name).exists() or ExperimentDir(root / name).manifest.exists()
    return named and not RunDir(Path(name)).config.is_file()


def thresholds_of(run: RunDir) -> Thresholds:
    """Those of the run's experiment; the defaults for a run that was copied without it."""
    return read_manifest(run.experiment).thresholds if run.experiment.manifest.is_file() else DEFAULT
