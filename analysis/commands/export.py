"""`analysis export`: the predictions of a variant as CSV, Parquet, or a leaderboard contribution."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from analysis.commands.options import DEFAULT_ROOT, Experiment, Root
from analysis.commands.selection import choice_of, variant_named
from analysis.output.export import SPLITS, prediction_rows, write_csv, write_leaderboard, write_parquet
from analysis.output.writing import kept_inside
from analysis.rank.summary import summarize
from runner.submit.selection import experiment_directory
from runner.terminal import tell


def command(
    experiment: Experiment = None,
    variant: Annotated[
        str | None, typer.Option("--variant", "-v", help="A variant or a run; left out: the choice of summarize.")
    ] = None,
    to: Annotated[
        Literal["csv", "parquet", "leaderboard"],
        typer.Option(help="leaderboard: id and prediction of the test split, best run by validation."),
    ] = "csv",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A folder; left out: analysis/ of the experiment.")
    ] = None,
    root: Root = DEFAULT_ROOT,
) -> None:
    """Write predictions to a file and print its path."""
    summary = summarize(experiment_directory(experiment, root).path)
    named = variant_named(summary, choice_of(summary).variant if variant is None else variant)
    directory = summary.collection.directory
    folder = output or kept_inside(directory.analysis / "predictions", directory.path).parent
    if to == "leaderboard":
        path = write_leaderboard(folder, directory, named, summary.collection.manifest.select)
        tell("note: the leaderboard accepts its own data sets with all their test crystals only")
    else:
        rows = prediction_rows(directory, named, SPLITS)
        path = folder / f"predictions.{to}"
        (write_csv if to == "csv" else write_parquet)(path, rows)
    sys.stdout.write(f"{path}\n")
