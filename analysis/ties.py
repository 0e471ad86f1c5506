"""Which variants cannot be told from the best: within a share of it, or inside the noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.interval_cache import IntervalCache
from analysis.manifest import Select
from analysis.predictions import read_predictions
from analysis.rank import Variant
from analysis.statistics import SMALLEST_SAMPLE, Array, Interval, paired_bootstrap, paired_t
from runner.layout import ExperimentDir

NOISE_FLOOR = 1e-12  # relative; a difference of rounding alone


@dataclass(frozen=True)
class Tie:
    """How a variant compares with the best one."""

    tied: bool
    reason: str  # in words
    interval: Interval | None = None


@dataclass(frozen=True)
class SeedLosses:
    """Loss of every validation crystal of one run."""

    ids: list[str]
    losses: Array  # (C,)


def loss_kind(metric: str) -> str | None:
    """absolute, squared or root, for metrics that are a mean over crystals; None for others."""
    kinds = {"mae": "absolute", "mse": "squared", "rmse": "root"}
    return kinds.get(metric.rsplit("_", 1)[-1])


class Comparison:
    """Compares the variants of one experiment on its validation predictions; the best one is read once."""

    def __init__(self, directory: ExperimentDir, select: Select) -> None:
        self.directory = directory
        self.select = select
        self.cache = IntervalCache(directory, select.metric)
        self._kept: tuple[str, dict[int | None, SeedLosses]] | None = None

    def losses(self, variant: Variant) -> dict[int | None, SeedLosses]:
        """Seed → losses on the validation crystals, of the scored runs that have predictions."""
        kind = loss_kind(self.select.metric)
        found: dict[int | None, SeedLosses] = {}
        for run in variant.scored if kind else ():
            predictions = read_predictions(self.directory.run(run.run_id).predictions, "val")
            error = np.abs(np.asarray(predictions.predictions) - np.asarray(predictions.targets))
            if len(predictions) >= SMALLEST_SAMPLE:
                found[run.plan.seed] = SeedLosses(predictions.ids, error if kind == "absolute" else error**2)
        return found

    def interval(self, variant: Variant, other: Variant) -> Interval | None:
        """Interval of the metric of `variant` minus that of `other`; None when nothing pairs them.

        Over crystals and seeds from the predictions; without predictions over two or more common seeds.
        """
        key = self.cache.key((variant.scored, other.scored))
        if key not in self.cache:
            self.cache.put(key, self._interval(variant, other))
        return self.cache.get(key)

    def _interval(self, variant: Variant, other: Variant) -> Interval | None:
        if self._kept is None or self._kept[0] != other.name:
            self._kept = (other.name, self.losses(other))
        paired = paired_losses(self.losses(variant), self._kept[1])
        if paired is not None:
            return paired_bootstrap(*paired, root=loss_kind(self.select.metric) == "root")
        mine, theirs = (item.values_by_seed(self.select.metric) for item in (variant, other))
        seeds = [seed for seed in mine if seed in theirs]
        if len(seeds) < SMALLEST_SAMPLE:
            return None
        return paired_t([mine[seed] for seed in seeds], [theirs[seed] for seed in seeds])

    def tie(self, variant: Variant, best: Variant) -> Tie:
        """Whether `variant` is tied with `best`, and why."""
        assert variant.val is not None
        assert best.val is not None
        lag = (variant.val.mean - best.val.mean) * self.select.sign
        allowed = self.select.within * abs(best.val.mean)
        if lag <= allowed * (1 + NOISE_FLOOR):
            return Tie(True, f"within {self.select.within * 100:g} % of the best")
        interval = self.interval(variant, best)
        if interval is None:
            return Tie(False, "behind the best; nothing to pair, so the noise is unknown")
        seen = f"{interval.method}: {signed(interval.low)} to {signed(interval.high)}"
        if interval.includes_zero:
            return Tie(True, f"inside the noise ({seen} includes zero)", interval)
        return Tie(False, f"behind the best ({seen})", interval)


def paired_losses(
    mine: dict[int | None, SeedLosses], theirs: dict[int | None, SeedLosses]
) -> tuple[Array, Array] | None:
    """(S, C) losses of both over their common seeds and the crystals that all of them predicted; None for none."""
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


def signed(value: float) -> str:
    """A difference with its sign."""
    return f"{value:+.3g}" if math.isfinite(value) else str(value)


def tie_set(variants: Sequence[Variant], comparison: Comparison) -> dict[str, Tie]:
    """Variant → how it compares with the best one, which stands first in `variants` and is left out."""
    best = variants[0]
    return {variant.name: comparison.tie(variant, best) for variant in variants[1:]}
