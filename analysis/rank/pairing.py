"""Two variants or runs compared crystal by crystal on their predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from analysis.collect.predictions import Predictions, read_predictions
from analysis.rank.ranking import Variant
from analysis.rank.statistics import SMALLEST_SAMPLE, Array, Interval, paired_interval
from runner.errors import CommandFailed
from runner.files import as_number
from runner.rundir.layout import ExperimentDir

DISAGREEMENTS = 10
COMPARED = ("ratio", "contribution_ratio", "cosine", "norm_ratio", "gate_mean")  # of every fused layer
Fusion = Mapping[str, Mapping[str, float]]  # layer → quantities


@dataclass(frozen=True)
class Disagreement:
    """A crystal on which two models differ most; unit of the target."""

    id: str
    target: float
    first: float
    second: float


@dataclass(frozen=True)
class Pairing:
    """A against B on one split; errors in the unit of the target, predictions averaged over seeds."""

    first: str
    second: str
    split: str
    crystals: int
    seeds: int  # paired ones
    mae: tuple[float, float]  # mean over crystals and paired seeds
    rmse: tuple[float, float]
    interval: Interval  # of MAE(A) − MAE(B)
    first_better: float  # share of crystals on which A errs less
    agreement: float  # Pearson correlation of the predictions
    shared_error: float  # Pearson correlation of the signed errors
    disagreements: list[Disagreement]
    fusion: list[FusionPair]


@dataclass(frozen=True)
class FusionPair:
    """A quantity of one fused layer in both models; None where one has not got it."""

    layer: str
    quantity: str
    first: float | None
    second: float | None


@dataclass(frozen=True)
class Side:
    """One of the two that are compared: a variant, a run, or a checkpoint."""

    name: str
    by_seed: Mapping[int | None, Predictions]  # of one split
    fusion: Fusion = field(default_factory=dict)  # at the best epoch, mean over seeds


def pair(directory: ExperimentDir, first: Variant, second: Variant, split: str) -> Pairing:
    """Compare two variants of one experiment on its predictions."""
    return pair_sides(side_of(directory, first, split), side_of(directory, second, split), split)


def side_of(directory: ExperimentDir, variant: Variant, split: str) -> Side:
    """What the completed runs of a variant predicted."""
    return Side(variant.name, _by_seed(directory, variant, split), variant.fusion)


def pair_sides(first: Side, second: Side, split: str) -> Pairing:
    """Compare on the crystals and seeds that both predicted; CommandFailed where there are none.

    Seeds are paired by number; where the two share none, each has one run, or the first seeds of both are paired.
    """
    sides = [first.by_seed, second.by_seed]
    for side in (first, second):
        if not side.by_seed:
            raise CommandFailed(f"{side.name} has no predictions.csv of the {split} split yet")
    seeds = [(seed, seed) for seed in sides[0] if seed in sides[1]]
    if not seeds:
        seeds = list(zip(sides[0], sides[1], strict=False))[:1]
    tables = [[sides[place][pair_of_seeds[place]].by_id for pair_of_seeds in seeds] for place in (0, 1)]
    ids = [name for name in tables[0][0] if all(name in table for side in tables for table in side)]
    if len(ids) < SMALLEST_SAMPLE:
        raise CommandFailed(f"{first.name} and {second.name} share {len(ids)} items of the {split} split")
    target, other = (np.array([side[0][name][0] for name in ids]) for side in tables)
    if not np.allclose(target, other, rtol=1e-5, atol=1e-6):
        apart = ids[int(np.argmax(np.abs(target - other)))]
        raise CommandFailed(
            f"{first.name} and {second.name} were trained on different targets: that of {apart} is "
            f"{tables[0][0][apart][0]:g} and {tables[1][0][apart][0]:g}"
        )
    one, two = (np.array([[table[name][1] for name in ids] for table in side]) for side in tables)  # (S, C)
    found = _pairing(first.name, second.name, split, ids, target, one, two)
    return replace(found, fusion=fusion_pairs(first.fusion, second.fusion))


def fusion_pairs(first: Fusion, second: Fusion) -> list[FusionPair]:
    """What both models say of their fused layers, layer by layer."""
    layers = sorted({*first, *second}, key=lambda layer: (not layer.isdigit(), layer.zfill(9)))
    pairs = [
        FusionPair(layer, name, *(as_number(side.get(layer, {}).get(name)) for side in (first, second)))
        for layer in layers
        for name in COMPARED
    ]
    return [pair for pair in pairs if (pair.first, pair.second) != (None, None)]


def _pairing(first: str, second: str, split: str, ids: list[str], target: Array, one: Array, two: Array) -> Pairing:
    errors = one - target, two - target
    size = [np.abs(error) for error in errors]
    mean_one, mean_two = one.mean(axis=0), two.mean(axis=0)
    order = np.argsort(-np.abs(mean_one - mean_two), kind="stable")[:DISAGREEMENTS]
    return Pairing(
        first=first,
        second=second,
        split=split,
        crystals=len(ids),
        seeds=len(one),
        mae=(float(size[0].mean()), float(size[1].mean())),
        rmse=(float((errors[0] ** 2).mean() ** 0.5), float((errors[1] ** 2).mean() ** 0.5)),
        interval=paired_interval(size[0], size[1]),
        first_better=float((size[0].mean(axis=0) < size[1].mean(axis=0)).mean()),
        agreement=correlation(mean_one, mean_two),
        shared_error=correlation(errors[0].mean(axis=0), errors[1].mean(axis=0)),
        fusion=[],
        disagreements=[Disagreement(ids[i], float(target[i]), float(mean_one[i]), float(mean_two[i])) for i in order],
    )


def correlation(one: Array, two: Array) -> float:
    """Pearson's coefficient; NaN where one side does not vary."""
    if not one.std() or not two.std():
        return float("nan")
    return float(np.corrcoef(one, two)[0, 1])


def _by_seed(directory: ExperimentDir, variant: Variant, split: str) -> dict[int | None, Predictions]:
    found = {}
    for run in variant.scored:
        path: Path = directory.run(run.run_id).predictions
        predictions = read_predictions(path, split)
        if len(predictions):
            found[run.plan.seed] = predictions
    return found
