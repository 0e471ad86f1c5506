"""`analysis predict RUN STRUCTURES…`: a trained model on structures that are in no data set. Opens a checkpoint."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from analysis.commands.arguments import DEFAULT_ROOT, RUN_HELP, FormatOption, OfExperiment, Root, run_named
from analysis.output.writing import write_rows, written
from runner.rundir.cache_root import cache_root
from runner.spreadsheet import csv_text
from runner.terminal import tell

MOST_UNREAD = 20  # named one by one


def command(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)],
    structures: Annotated[
        list[Path], typer.Argument(metavar="STRUCTURES...", help="POSCAR, CIF or xyz files, folders of them, tables.")
    ],
    experiment: OfExperiment = None,
    to: Annotated[Path | None, typer.Option(help="Write the predictions to this CSV file as well.")] = None,
    root: Root = DEFAULT_ROOT,
    format: FormatOption = "table",
) -> None:
    """Predict new structures with the run's best epoch; texts and graphs are made as its configuration says."""
    directory = run_named(run, experiment, root)
    from jobs.tasks.crystal.tools.load_run import params_of
    from jobs.tasks.crystal.tools.prediction import predict, read_structures

    read = read_structures(structures)
    predicted = predict(directory, read, cache_root(), tell)
    target = params_of(directory).data.target
    all_described = all(one.described for one in predicted)
    rows: list[dict[str, Any]] = [
        {"id": one.material_id, "formula": one.formula, target: one.prediction}
        | ({} if all_described else {"text": "yes" if one.described else "no"})
        for one in predicted
    ]
    write_rows(rows, format)
    if to is not None:
        written({to: csv_text(list(rows[0]), rows)})
    for place, why in list(read.unread.items())[:MOST_UNREAD]:
        sys.stderr.write(f"could not be read: {place}: {why}\n")
    if len(read.unread) > MOST_UNREAD:
        sys.stderr.write(f"and {len(read.unread) - MOST_UNREAD} more\n")
