"""What an interval allows to say: a claim, an indication, or nothing. Free of torch and pandas."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.rank.statistics import Interval

ALPHA = 0.05


def holm(by_chance: Sequence[float]) -> list[float]:
    """p values adjusted for their number: rejecting those below α errs in at most α of all families (Holm, 1979)."""
    order = sorted(range(len(by_chance)), key=lambda place: by_chance[place])
    adjusted, highest = [0.0] * len(by_chance), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, by_chance[place] * (len(by_chance) - rank)))
        adjusted[place] = highest
    return adjusted


def is_beyond_noise(interval: Interval, adjusted: float) -> bool:
    """Whether the difference may be claimed; adjusted: its p for the number of comparisons made."""
    return interval.allows_claims and adjusted < ALPHA


def verdict(interval: Interval, adjusted: float) -> str:
    """The words for a difference; adjusted: its p for the number of comparisons made."""
    if interval.allows_claims:
        return "beyond the noise" if adjusted < ALPHA else "inside the noise"
    if interval.seeds == 1:
        return "of the items alone: with one seed the noise of training is unknown"
    return "indicative: with two seeds nothing is claimed"
