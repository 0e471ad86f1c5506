"""`analysis refine EXPERIMENT`: a finer grid around the best of numeric axes, as a new experiment file."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from analysis.collect.manifest import submitted_file
from analysis.commands.arguments import DEFAULT_ROOT, Experiment, Root, choice_of
from analysis.formatting import significant
from analysis.output.writing import written
from analysis.rank.refinement import finer_axes, refined
from analysis.rank.summary import summarize
from runner.config import experiment_file
from runner.config.experiment import checked_name
from runner.config.yaml_output import dump
from runner.errors import CommandFailed, UserError
from runner.rundir.layout import ExperimentDir
from runner.submit.selection import experiment_directory
from runner.terminal import tell


def command(
    experiment: Experiment = None,
    points: Annotated[int, typer.Option(min=3, help="Number of values on each axis, the best one in the middle.")] = 5,
    name: Annotated[
        str | None, typer.Option(help="Name of the new experiment; left out: the old name with _refined.")
    ] = None,
    root: Root = DEFAULT_ROOT,
) -> None:
    """Write an experiment file whose numeric axes lie closer around the best variant, and print its path."""
    if name is not None:
        try:
            checked_name(name)
        except ValueError as error:
            raise UserError(f"--name: {error}") from None
    directory = experiment_directory(experiment, root)
    summary = summarize(directory.path)
    manifest, best = summary.collection.manifest, summary.variant(choice_of(summary).best)
    axes = [finer for finer in finer_axes(summary.variants, best, points) if len(finer.values) > 1]
    if not axes:
        tried = ", ".join(manifest.axes) or "no axis"
        raise CommandFailed(f"{best.name} has no numeric axis with two values to refine between ({tried})")
    for finer in axes:
        shown = ", ".join(significant(value) for value in finer.values)
        note = "; the best was at the edge, so the grid goes beyond it" if finer.at_edge else ""
        tell(f"{finer.axis}: {shown}{note}")
    content = refined(submitted_file(directory).value, best, axes, name or f"{directory.path.resolve().name}_refined")
    path = ExperimentDir(directory.path.parent / str(content["experiment"])).experiment_file
    if path.exists():
        raise CommandFailed(f"{path} exists; nothing is overwritten", next_command="another --name")
    written({path: dump(content, f"Written by `analysis refine {manifest.experiment}` around {best.name}.")})
    experiment_file.load(path)  # a mistake of ours shows here, not at submission
    sys.stdout.write(f"{path}\n")
