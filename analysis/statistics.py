"""Means with spread, and intervals of paired differences. NumPy alone at import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RESAMPLES = 2000
LEVEL = 0.95
MAX_ITEMS = 2000  # more crystals are averaged in groups before resampling
SMALLEST_SAMPLE = 2


@dataclass(frozen=True)
class MeanSd:
    """A mean over n seeds; sd with ddof = 1, None for n = 1."""

    mean: float
    sd: float | None
    n: int


@dataclass(frozen=True)
class Interval:
    """A difference with its confidence interval."""

    difference: float
    low: float
    high: float
    method: str  # what was resampled or assumed, in words

    @property
    def includes_zero(self) -> bool:
        return self.low <= 0 <= self.high


def mean_sd(values: Sequence[float]) -> MeanSd | None:
    """Mean and sample standard deviation; None for no value."""
    if not values:
        return None
    array = np.asarray(values, dtype=float)
    return MeanSd(float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else None, len(array))


@lru_cache(maxsize=8)
def _weights(items: int, resamples: int, seed: int) -> Array:
    """(resamples, items) how often each item is drawn, divided by their number. Cached: equal for all variants."""
    drawn = np.random.default_rng(seed).multinomial(items, np.full(items, 1 / items), size=resamples)
    return drawn / items


def paired_bootstrap(
    losses: Array, other: Array, *, root: bool = False, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile interval of the mean difference losses − other, over crystals and seeds together.

    losses, other: (S, C) loss of C crystals in S seeds, paired in both. The same crystals are drawn for every seed and
    for both variants, and the seeds are drawn too where there are several: the pigeonhole bootstrap (Owen, Ann. Appl.
    Stat. 1, 386, 2007), mildly conservative. Deviations of seeds are widened by √(S/(S−1)), which makes the variance
    over S resampled seeds unbiased; three seeds that differ by chance alone still look different 2 times in 10.
    `root`: the metric is the square root of the mean loss (RMSE). The resampling is the same in every call.
    """
    if losses.shape != other.shape or losses.ndim != 2 or losses.shape[1] < SMALLEST_SAMPLE:
        raise ValueError(f"losses must pair up as (seeds, crystals ≥ 2); found {losses.shape} and {other.shape}")
    seeds, crystals = losses.shape
    reduced, reduced_other = grouped(losses), grouped(other)
    by_crystal = _weights(reduced.shape[1], resamples, seed)
    if root:
        by_seed = np.sqrt(by_crystal @ reduced.T) - np.sqrt(by_crystal @ reduced_other.T)  # (resamples, S)
        difference = float((np.sqrt(losses.mean(axis=1)) - np.sqrt(other.mean(axis=1))).mean())
    else:
        by_seed = by_crystal @ (reduced - reduced_other).T
        difference = float((losses - other).mean())
    if seeds > 1:
        centre = by_seed.mean(axis=1, keepdims=True)
        by_seed = centre + (by_seed - centre) * (seeds / (seeds - 1)) ** 0.5
    drawn = (by_seed * _weights(seeds, resamples, seed + 1)).sum(axis=1)
    outside = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [outside, 1 - outside])
    method = f"paired bootstrap over {crystals} crystals" + (f" and {seeds} seeds" if seeds > 1 else "")
    return Interval(difference, float(low), float(high), method)


def grouped(losses: Array, items: int = MAX_ITEMS) -> Array:
    """(S, C) → (S, at most `items`): the mean of each of equally large groups of crystals drawn at random.

    The mean of all keeps its sampling variance, because crystals are drawn independently of each other; fewer
    crystals than one group holds are left over.
    """
    seeds, crystals = losses.shape
    size = -(-crystals // items)
    if size == 1:
        return losses
    groups = crystals // size
    order = np.random.default_rng(0).permutation(crystals)[: size * groups]
    return np.asarray(losses[:, order].reshape(seeds, groups, size).mean(axis=2))


def paired_t(values: Sequence[float], other: Sequence[float]) -> Interval:
    """Student's interval of the mean difference of paired seeds; needs two of them."""
    from scipy.special import stdtrit

    difference = np.asarray(values, dtype=float) - np.asarray(other, dtype=float)
    n = len(difference)
    if n < SMALLEST_SAMPLE:
        raise ValueError(f"an interval over seeds needs two of them; found {n}")
    half = float(stdtrit(n - 1, 1 - (1 - LEVEL) / 2)) * float(difference.std(ddof=1)) / n**0.5
    mean = float(difference.mean())
    return Interval(mean, mean - half, mean + half, f"paired t interval over {n} seeds")
