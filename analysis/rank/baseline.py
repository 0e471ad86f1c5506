"""Every ranked variant against the baseline, with what may be claimed of so many comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from analysis.formatting import percent, plural
from analysis.rank.choice import Choice
from analysis.rank.comparison import Comparison
from analysis.rank.ranking import Variant
from analysis.rank.statistics import Interval, holm

LISTED = 5  # differences beyond the noise, besides those of the choice and the best


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
            return "no interval, because nothing pairs the two"
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
    others = [variant for variant in variants if variant is not baseline]
    intervals = {variant.name: comparison.interval(variant, baseline) for variant in others}
    known = {name: interval for name, interval in intervals.items() if interval is not None}
    adjusted = dict(zip(known, holm([interval.p for interval in known.values()]), strict=True))
    comparisons = []
    for name, interval in intervals.items():
        low, high = (interval.low / abs(base), interval.high / abs(base)) if interval else (None, None)
        relative = (means[name] - base) / abs(base)
        comparisons.append(BaselineComparison(name, relative, interval, low, high, adjusted.get(name), len(known)))
    return comparisons


def shown_lines(comparisons: Sequence[BaselineComparison], choice: Choice) -> list[str]:
    """The choice and the best, then what is beyond the noise; of many the first."""
    names = {choice.variant, choice.best}
    first = [item for item in comparisons if item.variant in names] or list(comparisons[:1])
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
