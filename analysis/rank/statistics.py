"""Means with spread, and intervals of paired differences over items and seeds. NumPy alone at import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.formatting import mean_with_sd

Array = NDArray[np.float64]

LEVEL = 0.95
ALPHA = 0.05
SMALLEST_SAMPLE = 2
CLAIM_SEEDS = 3  # fewer seeds say too little of their own noise for a claim
POOLED_VARIANTS = 6  # whose seeds together say enough of it


@dataclass(frozen=True)
class MeanSd:
    """A mean over n seeds; sd with ddof = 1, None for n = 1."""

    mean: float
    sd: float | None
    n: int

    def __str__(self) -> str:
        return mean_with_sd(self.mean, self.sd)


@dataclass(frozen=True)
class Interval:
    """A difference with its confidence interval."""

    difference: float
    low: float
    high: float
    p: float  # of so large a difference, either way, by chance alone
    seeds: int  # paired ones
    method: str  # what the noise was estimated from, in words
    pooled: bool = False  # the noise of training was estimated from the seeds of several variants

    @property
    def allows_claims(self) -> bool:
        """Whether it knows enough of the noise of training."""
        return self.seeds >= CLAIM_SEEDS or (self.seeds >= SMALLEST_SAMPLE and self.pooled)

    def is_beyond_noise(self, adjusted: float) -> bool:
        """Whether the difference may be claimed; adjusted: its p for the number of comparisons made."""
        return self.allows_claims and adjusted < ALPHA

    def verdict(self, adjusted: float) -> str:
        """The words for the difference: a claim, an indication, or nothing."""
        if self.allows_claims:
            return "beyond the noise" if self.is_beyond_noise(adjusted) else "inside the noise"
        if self.seeds == 1:
            return "of the items alone: with one seed the noise of training is unknown"
        return "indicative: with two seeds nothing is claimed"


class SeedVariance(NamedTuple):
    """Variance of the metric from seed to seed of one variant, estimated from several variants."""

    variance: float
    degrees: int  # of freedom


class Estimate(NamedTuple):
    """Differences with their standard errors and degrees of freedom; equal shapes."""

    difference: Array
    error: Array
    degrees: Array


def mean_sd(values: Sequence[float]) -> MeanSd | None:
    """Mean and sample standard deviation; None for no value."""
    if not values:
        return None
    array = np.asarray(values, dtype=float)
    return MeanSd(float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else None, len(array))


def two_way(differences: Array, pooled: SeedVariance | None = None) -> Estimate:
    """Mean of paired differences (…, S seeds, C items) with the standard error over seeds and items, both random.

    The variance of the mean is that of the seed means plus that of the item means, less that of the residuals, which
    both contain, and at least the larger of the two; degrees of freedom after Satterthwaite (Biometrics Bull. 2, 110,
    1946), at least those of the smaller sample. One seed: of the items alone. `pooled` replaces what the S seeds say
    of their own variance.
    """
    seeds, items = differences.shape[-2:]
    by_seed, by_item = differences.mean(-1), differences.mean(-2)
    mean = by_seed.mean(-1)
    of_items = by_item.var(-1, ddof=1) / items
    if seeds == 1:
        return Estimate(mean, np.sqrt(of_items), np.full_like(mean, items - 1))
    residuals = differences - by_seed[..., None] - by_item[..., None, :] + mean[..., None, None]
    both = (residuals**2).sum((-2, -1)) / ((seeds - 1) * (items - 1) * seeds * items)
    if pooled is None:
        of_seeds, freedom = by_seed.var(-1, ddof=1) / seeds, seeds - 1
    else:
        of_seeds, freedom = np.full_like(mean, 2 * pooled.variance / seeds), pooled.degrees
    variance = np.maximum(of_seeds + of_items - both, np.maximum(of_seeds, of_items))
    spread = of_seeds**2 / freedom + of_items**2 / (items - 1)
    degrees = np.divide(variance**2, spread, out=np.ones_like(mean), where=spread > 0)
    return Estimate(mean, np.sqrt(variance), np.maximum(degrees, min(freedom, items - 1)))


def paired_interval(losses: Array, other: Array, *, root: bool = False, pooled: SeedVariance | None = None) -> Interval:
    """Interval of the mean difference losses − other, over items and seeds together.

    losses, other: (S, C) loss of C items in S seeds, paired in both. `root`: the metric is the square root of the mean
    loss (RMSE), and each loss is replaced by its share in the root's change (the delta method).
    """
    if losses.shape != other.shape or losses.ndim != 2 or losses.shape[1] < SMALLEST_SAMPLE:
        raise ValueError(f"losses must pair up as (seeds, items ≥ 2); found {losses.shape} and {other.shape}")
    seeds, items = losses.shape
    differences = _in_root(losses) - _in_root(other) if root else losses - other
    method = f"paired over {items:,} items{' of one seed' if seeds == 1 else f' and {seeds} seeds'}"
    return _interval(two_way(differences, pooled), seeds, method, pooled)


def _in_root(losses: Array) -> Array:
    """(S, C) values whose mean over C is the root mean loss of each seed, and whose spread is that of the root."""
    mean = losses.mean(axis=1, keepdims=True)
    root = np.sqrt(mean)
    return np.asarray(root + np.divide(losses - mean, 2 * root, out=np.zeros_like(losses), where=root > 0))


def paired_t(values: Sequence[float], other: Sequence[float], pooled: SeedVariance | None = None) -> Interval:
    """Student's interval of the mean difference of paired seeds alone; needs two of them."""
    differences = np.asarray(values, dtype=float) - np.asarray(other, dtype=float)
    n = len(differences)
    if n < SMALLEST_SAMPLE:
        raise ValueError(f"an interval over seeds needs two of them; found {n}")
    variance = float(differences.var(ddof=1)) if pooled is None else 2 * pooled.variance
    freedom = n - 1 if pooled is None else pooled.degrees
    estimate = Estimate(*(np.asarray(value, float) for value in (differences.mean(), (variance / n) ** 0.5, freedom)))
    return _interval(estimate, n, f"paired over {n} seeds", pooled)


def _interval(estimate: Estimate, seeds: int, method: str, pooled: SeedVariance | None) -> Interval:
    from scipy.special import stdtr, stdtrit  # a tenth of a second; cached intervals do without

    difference, error, degrees = (float(value) for value in estimate)
    half = error * float(stdtrit(degrees, 1 - (1 - LEVEL) / 2))
    by_chance = 2 * float(stdtr(degrees, -abs(difference) / error)) if error > 0 else float(difference == 0)
    if pooled is not None:
        method += ", seed variance pooled"
    return Interval(difference, difference - half, difference + half, by_chance, seeds, method, pooled is not None)


def pooled_seed_variance(values: Array) -> SeedVariance | None:
    """The variance from seed to seed that all variants share, from their metric (K variants, S seeds); None below six.

    What a seed does to all variants alike is taken out, as pairing takes it out of a difference.
    """
    variants, seeds = values.shape
    if variants < POOLED_VARIANTS or seeds < SMALLEST_SAMPLE:
        return None
    residuals = values - values.mean(1, keepdims=True) - values.mean(0, keepdims=True) + values.mean()
    degrees = (variants - 1) * (seeds - 1)
    return SeedVariance(float((residuals**2).sum()) / degrees, degrees)


def holm(by_chance: Sequence[float]) -> list[float]:
    """p values adjusted for their number: rejecting those below α errs in at most α of all families (Holm, 1979)."""
    p, order = np.array(by_chance), np.argsort(by_chance, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(np.minimum(1, p[order] * np.arange(len(p), 0, -1)))
    return [float(value) for value in adjusted]
