"""Who goes on after a round: a pure function of the results."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from runner.config.metric_names import Mode, is_near
from runner.search.rounds import expected, most

Values = Mapping[str, Sequence[float | None]]  # point → its metric with each seed; None: that run has no result


@dataclass(frozen=True)
class Decision:
    """Who goes on, best first, and who leaves with the numbers that say why."""

    kept: tuple[str, ...]
    dropped: dict[str, dict[str, Any]]  # point → reason, mean, difference, interval
    means: dict[str, float]  # of the points that have all their results


def decide(values: Values, mode: Mode, metric: str, part: Fraction, within: float, *, cuts: bool = True) -> Decision:
    """Keep the best `part` of the points by mean, and near misses: those within `within` of the last one kept, at most
    half as many again.

    A point that lacks a result leaves: a mean over other seeds is not comparable. cuts: False keeps all the others.
    The interval of the paired difference from the last one kept is written down; it keeps nobody.
    """
    sign = 1 if mode == "min" else -1
    scored = {point: [v for v in row if v is not None] for point, row in values.items() if row and None not in row}
    means = {point: statistics.fmean(row) for point, row in scored.items()}
    order = sorted(means, key=lambda point: sign * means[point])  # stable: equal ones in the order of the file
    count = expected(len(order), part) if cuts and order else len(order)
    last = order[count - 1] if order else ""
    near = [point for point in order[count:] if is_near(means[point], means[last], mode, metric, within)]
    kept = order[:count] + near[: most(len(order), part) - count if cuts else None]
    dropped: dict[str, dict[str, Any]] = {}
    for point, row in values.items():
        if point not in means:
            missing = sum(value is None for value in row)
            dropped[point] = {"reason": f"{missing} of {len(row)} runs have no result"}
        elif point not in kept:
            dropped[point] = _behind(point, last, scored, means, metric)
    return Decision(tuple(kept), dropped, means)


def _behind(
    point: str, last: str, scored: Mapping[str, Sequence[float]], means: Mapping[str, float], metric: str
) -> dict[str, Any]:
    pairs = [own - other for own, other in zip(scored[point], scored[last], strict=True)]
    difference = means[point] - means[last]
    interval = None
    if len(pairs) > 1:  # two standard errors, of so few seeds a rough measure
        error = 2 * statistics.stdev(pairs) / math.sqrt(len(pairs))
        interval = [difference - error, difference + error]
    reason = f"{metric} {means[point]:.4g}, the last one kept has {means[last]:.4g}"
    return {"reason": reason, "mean": means[point], "difference": difference, "interval": interval}
