"""Intervals between the variants of one experiment, from their predictions or seeds; each against the baseline."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

import numpy as np

from analysis.collect.cache import Cache
from analysis.collect.predictions import read_predictions
from analysis.formatting import percent, plural
from analysis.rank.choice import Choice
from analysis.rank.ranking import Variant
from analysis.rank.statistics import (
    CLAIM_SEEDS,
    SMALLEST_SAMPLE,
    Array,
    Interval,
    SeedVariance,
    holm,
    paired_interval,
    paired_t,
    pooled_seed_variance,
)
from runner.rundir.layout import ExperimentDir
from runner.rundir.planned import Select

LISTED = 5  # differences beyond the noise, besides those of the choice and the best
SMALLEST = float(np.finfo(np.float64).tiny)  # of what a logarithm is taken of


@dataclass(frozen=True)
class SeedLosses:
    """Loss of every validation item of one run."""

    ids: list[str]
    losses: Array  # (C,)


def loss_kind(metric: str) -> str | None:
    """absolute, squared, root or log10, for metrics that are a mean over items; None for others."""
    kinds = {"mae": "absolute", "mse": "squared", "rmse": "root", "log10": "log10"}
    return kinds.get(metric.rsplit("_", 1)[-1])


class Comparison:
    """Compares the variants of one experiment; the one that others are compared with is read once.

    ranked: the variants whose seeds together tell the noise of training, where each has two.
    """

    def __init__(self, directory: ExperimentDir, select: Select, ranked: Sequence[Variant]) -> None:
        self.directory, self.select = directory, select
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


@dataclass(frozen=True)
class BaselineComparison:
    """A variant against the baseline; negative is a lower metric."""

    variant: str
    relative: float  # (variant − baseline) / |baseline|
    interval: Interval | None  # in the unit of the metric
    low: float | None  # relative
    high: float | None
    adjusted: float | None = None  # p for the number of comparisons (Holm)
    comparisons: int = 1

    @property
    def verdict(self) -> str:
        if self.interval is None or self.adjusted is None:
            return "no interval, because the two share no seed and no items"
        return self.interval.verdict(self.adjusted)

    @property
    def is_beyond_noise(self) -> bool:
        return self.interval is not None and self.adjusted is not None and self.interval.is_beyond_noise(self.adjusted)

    @property
    def sentence(self) -> str:
        change = f"{self.variant}: {percent(self.relative)}"
        if self.interval is None or self.low is None or self.high is None or self.adjusted is None:
            return f"{change}; {self.verdict}"
        of = f"p = {self.adjusted:.2g}" + (f" for {self.comparisons} comparisons" if self.comparisons > 1 else "")
        seen = f"95 % interval {percent(self.low)} to {percent(self.high)}, {self.interval.method}"
        return f"{change} ({seen}; {of}): {self.verdict}"


def compared(variants: Sequence[Variant], baseline: Variant, comparison: Comparison) -> list[BaselineComparison]:
    """Each of `variants` but the baseline against it, in their order; the baseline has a metric that is not zero."""
    means = {variant.name: variant.val.mean for variant in (baseline, *variants) if variant.val}
    base = means[baseline.name]
    intervals = {each.name: comparison.interval(each, baseline) for each in variants if each is not baseline}
    known = {name: interval for name, interval in intervals.items() if interval is not None}
    adjusted = dict(zip(known, holm([interval.p for interval in known.values()]), strict=True))
    return [
        BaselineComparison(
            variant=name,
            relative=(means[name] - base) / abs(base),
            interval=interval,
            low=interval.low / abs(base) if interval else None,
            high=interval.high / abs(base) if interval else None,
            adjusted=adjusted.get(name),
            comparisons=len(known),
        )
        for name, interval in intervals.items()
    ]


def shown_lines(comparisons: Sequence[BaselineComparison], choice: Choice) -> list[str]:
    """The choice and the best, then what is beyond the noise; of many the first."""
    first = [item for item in comparisons if item.variant in (choice.variant, choice.best)] or [*comparisons[:1]]
    beyond = [item for item in comparisons if item.is_beyond_noise and item not in first]
    lines = [item.sentence for item in [*first, *beyond[:LISTED]]]
    if len(beyond) > LISTED:
        lines.append(f"… and {plural(len(beyond) - LISTED, 'more variant')} beyond the noise")
    return lines


def smallest_visible_effect(comparisons: Sequence[BaselineComparison]) -> float | None:
    """The median half-width of the intervals, relative; None without any."""
    widths = [(item.high - item.low) / 2 for item in comparisons if item.low is not None and item.high is not None]
    return median(widths) if widths else None


def few_seeds(comparisons: Sequence[BaselineComparison]) -> bool:
    """Whether no difference may be claimed, however large, because seeds are too few."""
    return bool(comparisons) and not any(item.interval and item.interval.allows_claims for item in comparisons)


def reference(variants: Sequence[Variant], name: str | None, metric: str) -> tuple[Variant | None, str]:
    """The baseline that `name` means; None and why there is none."""
    if name is None:
        return None, "no baseline is named in the experiment file"
    baseline = next((variant for variant in variants if variant.name == name), None)
    if baseline is None:
        return None, f"the baseline {name!r} is not a variant of this experiment"
    return (baseline, "") if baseline.val else (None, f"the baseline {name!r} has no {metric} yet ({baseline.state})")
