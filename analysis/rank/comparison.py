"""Intervals between the variants of one experiment, from their predictions or from their seeds alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from analysis.collect.cache import Cache
from analysis.collect.predictions import read_predictions
from analysis.rank.ranking import Variant
from analysis.rank.statistics import (
    CLAIM_SEEDS,
    SMALLEST_SAMPLE,
    Array,
    Interval,
    SeedVariance,
    paired_interval,
    paired_t,
    pooled_seed_variance,
)
from runner.rundir.layout import ExperimentDir
from runner.rundir.planned import Select


@dataclass(frozen=True)
class SeedLosses:
    """Loss of every validation item of one run."""

    ids: list[str]
    losses: Array  # (C,)


SMALLEST = float(np.finfo(np.float64).tiny)  # of what a logarithm is taken of


def loss_kind(metric: str) -> str | None:
    """absolute, squared, root or log10, for metrics that are a mean over items; None for others."""
    kinds = {"mae": "absolute", "mse": "squared", "rmse": "root", "log10": "log10"}
    return kinds.get(metric.rsplit("_", 1)[-1])


class Comparison:
    """Compares the variants of one experiment; the one that others are compared with is read once.

    ranked: the variants whose seeds together tell the noise of training, where each has two.
    """

    def __init__(self, directory: ExperimentDir, select: Select, ranked: Sequence[Variant]) -> None:
        self.directory = directory
        self.select = select
        self.pooled = pooled_over(ranked, select.metric)
        self.cache = Cache(directory, "intervals.json", select.metric)
        self._reference: tuple[str, dict[int | None, SeedLosses]] | None = None

    def interval(self, variant: Variant, other: Variant) -> Interval | None:
        """Interval of the metric of `variant` minus that of `other`; None when nothing pairs them.

        Over items and seeds from the predictions; without predictions over two or more common seeds.
        """
        mine, theirs = (item.values_by_seed(self.select.metric) for item in (variant, other))
        seeds = [seed for seed in mine if seed in theirs]
        pooled = self.pooled if SMALLEST_SAMPLE <= len(seeds) < CLAIM_SEEDS else None
        read_from = [[(run.run_id, run.plan.seed, run.signature) for run in side.scored] for side in (variant, other)]
        key = hashlib.sha256(repr((read_from, pooled)).encode()).hexdigest()[:32]
        if key not in self.cache:
            interval = self._over_items(variant, other, pooled)
            if interval is None and len(seeds) >= SMALLEST_SAMPLE:
                interval = paired_t([mine[seed] for seed in seeds], [theirs[seed] for seed in seeds], pooled)
            self.cache[key] = interval and asdict(interval)
        known = self.cache[key]
        return known and Interval(**known)

    def _over_items(self, variant: Variant, other: Variant, pooled: SeedVariance | None) -> Interval | None:
        if self._reference is None or self._reference[0] != other.name:
            self._reference = (other.name, self._losses(other))
        paired = paired_losses(self._losses(variant), self._reference[1])
        if paired is None:
            return None
        return paired_interval(*paired, root=loss_kind(self.select.metric) == "root", pooled=pooled)

    def _losses(self, variant: Variant) -> dict[int | None, SeedLosses]:
        """Seed → losses on the items of the split that the metric names, of the scored runs that have predictions."""
        kind, split = loss_kind(self.select.metric), self.select.metric.partition("_")[0]
        by_seed: dict[int | None, SeedLosses] = {}
        for run in variant.scored if kind else ():
            predictions = read_predictions(self.directory.run(run.run_id).predictions, split)
            pairs = np.array([predictions.predictions, predictions.targets])
            error = np.abs(np.diff(np.log10(np.maximum(pairs, SMALLEST)) if kind == "log10" else pairs, axis=0)[0])
            if len(predictions) >= SMALLEST_SAMPLE:
                by_seed[run.plan.seed] = SeedLosses(predictions.ids, error**2 if kind in ("squared", "root") else error)
        return by_seed


def pooled_over(variants: Sequence[Variant], metric: str) -> SeedVariance | None:
    """The seed variance that variants with the same seeds share; None where too few of them have the same."""
    values = [variant.values_by_seed(metric) for variant in variants]
    if not values:
        return None
    seeds = [seed for seed in values[0] if all(seed in others for others in values)]
    return pooled_seed_variance(np.array([[by_seed[seed] for seed in seeds] for by_seed in values]))


def paired_losses(
    mine: dict[int | None, SeedLosses], theirs: dict[int | None, SeedLosses]
) -> tuple[Array, Array] | None:
    """(S, C) losses of both over their common seeds and the items that all of them predicted; None for none."""
    seeds = [seed for seed in mine if seed in theirs]
    runs = [side[seed] for side in (mine, theirs) for seed in seeds]
    if not runs:
        return None
    first = runs[0].ids
    if all(run.ids == first for run in runs) and len(set(first)) == len(first):
        rows = [run.losses for run in runs]
    else:
        tables = [dict(zip(run.ids, run.losses, strict=True)) for run in runs]
        common = [name for name in tables[0] if all(name in table for table in tables)]
        if len(common) < SMALLEST_SAMPLE:
            return None
        rows = [np.array([table[name] for name in common]) for table in tables]
    count = len(seeds)
    return np.stack(rows[:count]), np.stack(rows[count:])
