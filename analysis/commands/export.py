"""`analysis export`: the predictions of a variant as CSV, Parquet, or a leaderboard contribution."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from analysis.collect.predictions import read_predictions
from analysis.commands.arguments import DEFAULT_ROOT, Experiment, Root, choice_of, summary_of, variant_named
from analysis.output.writing import kept_inside
from analysis.rank.ranking import Variant
from runner.errors import CommandFailed, UserError
from runner.files import replacing, write_text
from runner.rundir.layout import ExperimentDir
from runner.rundir.planned import Select
from runner.spreadsheet import csv_text
from runner.terminal import tell

SPLITS = ("train", "val", "test")
BENCHMARK = "AI-SinglePropertyPrediction-{target}-{dataset}-test-mae"  # the leaderboard's file name

Row = dict[str, Any]


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
    summary = summary_of(experiment, root)
    named = variant_named(summary, choice_of(summary).variant if variant is None else variant)
    directory = summary.collection.directory
    folder = output or kept_inside(directory.analysis / "predictions", directory.path).parent
    if to == "leaderboard":
        path = write_leaderboard(folder, directory, named, summary.collection.manifest.select)
        tell("note: the leaderboard accepts its own data sets with all their test crystals only")
    else:
        rows = prediction_rows(directory, named, SPLITS)
        path = folder / f"predictions.{to}"
        if to == "csv":
            write_text(path, csv_text(list(rows[0]), rows))
        else:
            write_parquet(path, rows)
    sys.stdout.write(f"{path}\n")


def prediction_rows(directory: ExperimentDir, variant: Variant, splits: tuple[str, ...]) -> list[Row]:
    """A row for every crystal, split and completed seed; CommandFailed where there is none."""
    rows = [
        {"variant": variant.name, "run_id": run.run_id, "seed": run.plan.seed, "split": split, **row}
        for run in variant.scored
        for split in splits
        for row in read_predictions(directory.run(run.run_id).predictions, split).rows
    ]
    if not rows:
        raise CommandFailed(f"{variant.name} has no predictions of {', '.join(splits)} yet")
    return rows


def write_parquet(path: Path, rows: list[Row]) -> None:
    """All rows as Parquet; needs pyarrow."""
    import pandas as pd

    try:
        with replacing(path) as beside:
            pd.DataFrame(rows).to_parquet(beside, index=False)
    except ImportError:
        raise UserError("Parquet needs pyarrow, which is not installed", next_command="pip install pyarrow") from None


def write_leaderboard(folder: Path, directory: ExperimentDir, variant: Variant, select: Select) -> Path:
    """`<benchmark>.csv.zip` with the columns id and prediction, from the best run by validation.

    The leaderboard has fixed test ids: only a run on the full official split is accepted there.
    """
    data = variant.params.get("data")
    target, dataset = (data.get(key) if isinstance(data, dict) else None for key in ("target", "dataset"))
    if not target or not dataset:
        raise UserError("the leaderboard needs data.dataset and data.target among the parameters of the run")
    run = variant.best_run(select)
    if run is None:
        raise CommandFailed(f"{variant.name} has no completed run yet")
    rows = read_predictions(directory.run(run.run_id).predictions, "test").rows
    if not rows:
        raise CommandFailed(f"{run.run_id} has no predictions of the test split")
    name = BENCHMARK.format(target=target, dataset=dataset)
    path = folder / f"{name}.csv.zip"
    with replacing(path) as beside, zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(f"{name}.csv"), csv_text(["id", "prediction"], rows))
    return path
