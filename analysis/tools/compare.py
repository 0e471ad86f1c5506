"""`analysis compare A B`: two variants, runs, checkpoints or experiments, item by item: crystals, utterances."""

from __future__ import annotations

import dataclasses
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from analysis.collect.predictions import Predictions
from analysis.commands.options import DEFAULT_ROOT, Format, FormatOption, Root
from analysis.commands.tables import write_rows
from analysis.formatting import percent, plural
from analysis.output.writing import stdout_console
from analysis.rank.claims import verdict
from analysis.rank.pairing import Pairing, pair_sides
from analysis.tools.compare_targets import Sides
from runner.rundir.cache_root import cache_root
from runner.rundir.layout import RunDir

SIDE_HELP = (
    "A variant, a run, the start of its id, a run's directory, a checkpoint in one, or an experiment: its choice."
)


class Split(StrEnum):
    """Where the predictions come from."""

    val = "val"
    test = "test"
    train = "train"


def command(
    first: Annotated[str, typer.Argument(metavar="A", help=SIDE_HELP)],
    second: Annotated[str, typer.Argument(metavar="B", help="The same.")],
    experiment: Annotated[
        str | None,
        typer.Option("--experiment", "-e", help="Directory, name or file; left out: the most recently submitted."),
    ] = None,
    split: Annotated[Split, typer.Option(help="test is shown, never used to choose.")] = Split.val,
    root: Root = DEFAULT_ROOT,
    format: FormatOption = Format.table,
) -> None:
    """Errors, agreement and the paired difference of A and B, with its interval, on the items that both predicted.

    A checkpoint predicts anew; everything else is read from predictions.csv.
    """
    sides = Sides(experiment, root, split.value, _predicted)
    found = pair_sides(*sides.both(first, second), split.value)
    rows = [dataclasses.asdict(item) for item in found.disagreements]
    if format is Format.json:
        sys.stdout.write(json.dumps(dataclasses.asdict(found), indent=1) + "\n")
        return
    if format is Format.csv:
        write_rows(rows, ["id", "target", "first", "second"], format)
        return
    console = stdout_console()
    for line in lines(found):
        console.print(line, soft_wrap=True)
    write_rows(rows, ["id", "target", "first", "second"], format)


def _predicted(run: RunDir, checkpoint: Path, split: str) -> Predictions:
    """What a checkpoint predicts of a split of its run, computed now."""
    from jobs.tasks.crystal.tools.load_run import open_run

    learner = open_run(run, cache_root(), log=lambda line: print(line, file=sys.stderr), weights=checkpoint)
    predictions, targets = learner.predict(split)
    ids = [learner.corpus.ids[place] for place in learner.corpus.places[split]]
    return Predictions(ids, targets.tolist(), predictions.tolist())


def lines(found: Pairing) -> list[str]:
    """The comparison in words."""
    interval, base = found.interval, found.mae[1] or 1.0
    return [
        f"A = {found.first}",
        f"B = {found.second}",
        f"{found.split} split: {found.crystals:,} items, {plural(found.seeds, 'paired seed')}",
        f"MAE   A {found.mae[0]:.4g}   B {found.mae[1]:.4g}   RMSE   A {found.rmse[0]:.4g}   B {found.rmse[1]:.4g}",
        f"A − B {percent(interval.difference / base)} (95 % interval {percent(interval.low / base)} to "
        f"{percent(interval.high / base)}, {interval.method}): {verdict(interval, interval.p)}",
        f"A errs less on {found.first_better:.0%} of the items",
        f"correlation of the predictions {found.agreement:.3f}, of the errors {found.shared_error:.3f}",
        "largest disagreements:",
    ]
