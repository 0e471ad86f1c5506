"""`analysis compare A B`: two variants, runs, checkpoints or experiments, item by item: crystals, utterances."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from analysis.collect.predictions import Predictions, read_predictions
from analysis.collect.reading import json_object
from analysis.commands.arguments import (
    CHECKPOINT,
    DEFAULT_ROOT,
    FormatOption,
    OfExperiment,
    Root,
    is_run,
    run_of,
    summary_of,
    variant_named,
)
from analysis.formatting import percent, plural
from analysis.output.writing import stdout_console, write_rows
from analysis.rank.pairing import Fusion, Pairing, Side, pair_sides, side_of
from runner.errors import CommandFailed
from runner.rundir.cache_root import cache_root
from runner.rundir.layout import ExperimentDir, RunDir
from runner.rundir.result import Result
from runner.terminal import tell

SIDE_HELP = (
    "A variant, a run, the start of its id, a run's directory, a checkpoint in one, or an experiment: its choice."
)


def command(
    first: Annotated[str, typer.Argument(metavar="A", help=SIDE_HELP)],
    second: Annotated[str, typer.Argument(metavar="B", help="As A.")],
    experiment: OfExperiment = None,
    split: Annotated[
        Literal["val", "test", "train"], typer.Option(help="test is shown, never used to choose.")
    ] = "val",
    root: Root = DEFAULT_ROOT,
    format: FormatOption = "table",
) -> None:
    """Errors, agreement and the paired difference of A and B, with its interval, on the items that both predicted.

    A checkpoint predicts anew; everything else is read from predictions.csv.
    """
    one, two = (side_named(word, experiment, root, split) for word in (first, second))
    if one.name == two.name and first != second:
        one, two = dataclasses.replace(one, name=first), dataclasses.replace(two, name=second)
    pairing = pair_sides(one, two, split)
    if format == "json":
        sys.stdout.write(json.dumps(dataclasses.asdict(pairing), indent=1) + "\n")
        return
    if format == "table":
        console = stdout_console()
        for line in lines(pairing):
            console.print(line, soft_wrap=True)
        if pairing.fusion:
            console.print("fused layers on the validation crystals (gate_mean is the mean of alpha):", soft_wrap=True)
            write_rows(pairing.fusion, format)
        console.print("largest disagreements:", soft_wrap=True)
    write_rows(pairing.disagreements, format)


def side_named(word: str, experiment: str | None, root: Path, split: str) -> Side:
    """A file *.pt, the directory of a run, an experiment (its choice), or a variant or run of `experiment`."""
    path, run = Path(word), RunDir(Path(word))
    if path.suffix == CHECKPOINT:
        run = run_of(path)
        predictions, fusion = _opened(run, path, split)
        return Side(f"{run.path.resolve().name}/{path.name}", {None: predictions}, fusion)
    if is_run(run):
        predictions = read_predictions(run.predictions, split)
        result = Result.of(json_object(run.result))
        fusion = result.fusion if result else {}
        return Side(run.path.resolve().name, {None: predictions} if len(predictions) else {}, fusion)
    whole = ExperimentDir(path).manifest.is_file() or ExperimentDir(root / word).manifest.is_file()
    summary = summary_of(word if whole else experiment, root)
    name = summary.collection.manifest.experiment
    if whole and summary.choice is None:
        raise CommandFailed(f"no run of {name} has completed, so there is no choice to compare")
    variant = summary.variant(summary.choice.variant) if whole and summary.choice else variant_named(summary, word)
    side = side_of(summary.collection.directory, variant, split)
    return dataclasses.replace(side, name=f"{name}: {side.name}") if whole else side


def _opened(run: RunDir, checkpoint: Path, split: str) -> tuple[Predictions, Fusion]:
    """What a checkpoint predicts of a split of its run, and its fused layers on validation crystals, computed now."""
    from jobs.tasks.crystal.tools.inspection import quantities
    from jobs.tasks.crystal.tools.load_run import open_run

    learner = open_run(run, cache_root(), log=tell, weights=checkpoint)
    predictions, targets = learner.predict(split)
    ids = [learner.corpus.ids[place] for place in learner.corpus.places[split]]
    return Predictions(ids, targets.tolist(), predictions.tolist()), quantities(learner)["val"]


def lines(pairing: Pairing) -> list[str]:
    """The comparison in words."""
    interval, base = pairing.interval, pairing.mae[1] or 1.0
    (mae, other_mae), (rmse, other_rmse) = pairing.mae, pairing.rmse
    return [
        f"A = {pairing.first}",
        f"B = {pairing.second}",
        f"{pairing.split} split: {pairing.crystals:,} items, {plural(pairing.seeds, 'paired seed')}",
        f"MAE   A {mae:.4g}   B {other_mae:.4g}   RMSE   A {rmse:.4g}   B {other_rmse:.4g}",
        f"A − B {percent(interval.difference / base)} (95 % interval {percent(interval.low / base)} to "
        f"{percent(interval.high / base)}, {interval.method}): {interval.verdict(interval.p)}",
        f"A errs less on {pairing.first_better:.0%} of the items",
        f"correlation of the predictions {pairing.agreement:.3f}, of the errors {pairing.shared_error:.3f}",
    ]
