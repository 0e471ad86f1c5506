"""Two variants or runs compared item by item on their predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis.collect.predictions import Predictions, read_predictions
from analysis.formatting import natural
from analysis.rank.ranking import Variant
from analysis.rank.statistics import SMALLEST_SAMPLE, Array, Interval, paired_interval
from analysis.task_definitions import COMPARED
from runner.errors import CommandFailed
from runner.files import as_number
from runner.rundir.layout import ExperimentDir

DISAGREEMENTS = 10
Fusion = Mapping[str, Mapping[str, float]]  # layer → quantities


@dataclass(frozen=True)
class Pairing:
    """A against B on one split; errors in the unit of the target, predictions averaged over seeds."""

    first: str
    second: str
    split: str
    crystals: int  # items
    seeds: int  # paired ones
    mae: list[float]  # of both, mean over items and paired seeds
    rmse: list[float]
    interval: Interval  # of MAE(A) − MAE(B)
    first_better: float  # share of items on which A errs less
    agreement: float  # Pearson correlation of the predictions
    shared_error: float  # Pearson correlation of the signed errors
    disagreements: list[dict[str, Any]]  # id, target and both predictions of the items on which they differ most
    fusion: list[dict[str, Any]]  # layer, quantity and both values, None where a model has not got it


@dataclass(frozen=True)
class Side:
    """One of the two that are compared: a variant, a run, or a checkpoint."""

    name: str
    by_seed: Mapping[int | None, Predictions]  # of one split
    fusion: Fusion = field(default_factory=dict)  # at the best epoch, mean over seeds


def side_of(directory: ExperimentDir, variant: Variant, split: str) -> Side:
    """What the completed runs of a variant predicted."""
    by_seed = {run.plan.seed: read_predictions(directory.run(run.run_id).predictions, split) for run in variant.scored}
    return Side(
        variant.name, {seed: predictions for seed, predictions in by_seed.items() if len(predictions)}, variant.fusion
    )


def pair_sides(first: Side, second: Side, split: str) -> Pairing:
    """Compare on the items and seeds that both predicted; CommandFailed where there are none.

    Seeds are paired by number; where the two share none, each has one run, or the first seeds of both are paired.
    """
    for side in (first, second):
        if not side.by_seed:
            raise CommandFailed(f"{side.name} has no predictions.csv of the {split} split yet")
    seeds = [(seed, seed) for seed in first.by_seed if seed in second.by_seed]
    seeds = seeds or list(zip(first.by_seed, second.by_seed, strict=False))[:1]
    tables = [[first.by_seed[one].by_id for one, _ in seeds], [second.by_seed[two].by_id for _, two in seeds]]
    ids = [name for name in tables[0][0] if all(name in table for side in tables for table in side)]
    if len(ids) < SMALLEST_SAMPLE:
        raise CommandFailed(f"{first.name} and {second.name} share {len(ids)} items of the {split} split")
    values = np.array([[[table[name] for name in ids] for table in side] for side in tables])  # (2, S, C, 2)
    (target, *_), (other, *_) = values[..., 0]
    if not np.allclose(target, other, rtol=1e-5, atol=1e-6):
        apart = int(np.argmax(np.abs(target - other)))
        raise CommandFailed(
            f"{first.name} and {second.name} were trained on different targets: that of {ids[apart]} is "
            f"{target[apart]:g} and {other[apart]:g}"
        )
    errors = values[..., 1] - target  # (2, S, C)
    size, (one, two) = np.abs(errors), values[..., 1].mean(axis=1)
    order = np.argsort(-np.abs(one - two), kind="stable")[:DISAGREEMENTS]
    return Pairing(
        first=first.name,
        second=second.name,
        split=split,
        crystals=len(ids),
        seeds=len(seeds),
        mae=size.mean(axis=(1, 2)).tolist(),
        rmse=np.sqrt((errors**2).mean(axis=(1, 2))).tolist(),
        interval=paired_interval(size[0], size[1]),
        first_better=float((size[0].mean(axis=0) < size[1].mean(axis=0)).mean()),
        agreement=correlation(one, two),
        shared_error=correlation(*errors.mean(axis=1)),
        disagreements=[
            {"id": ids[i], "target": float(target[i]), "first": float(one[i]), "second": float(two[i])} for i in order
        ],
        fusion=fusion_pairs(first.fusion, second.fusion),
    )


def fusion_pairs(first: Fusion, second: Fusion) -> list[dict[str, Any]]:
    """What both models say of their fused layers, layer by layer."""
    pairs = [
        {"layer": layer, "quantity": name}
        | {side: as_number(fusion.get(layer, {}).get(name)) for side, fusion in (("first", first), ("second", second))}
        for layer in sorted({*first, *second}, key=natural)
        for name in COMPARED
    ]
    return [pair for pair in pairs if (pair["first"], pair["second"]) != (None, None)]


def correlation(one: Array, two: Array) -> float:
    """Pearson's coefficient; NaN where one side does not vary."""
    return float(np.corrcoef(one, two)[0, 1]) if one.std() and two.std() else float("nan")
