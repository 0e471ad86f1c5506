"""Who goes on after a round: a pure function of the results."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from fractions import Fraction

from runner.config.metric_names import is_near
from runner.rundir.ledger import Left
from runner.search.rounds import expected, most

Values = Mapping[str, Sequence[float | None]]  # point → its metric with each seed; None: that run has no result


def decide(
    values: Values, mode: str, metric: str, part: Fraction, within: float, *, cuts: bool = True
) -> tuple[list[str], dict[str, Left]]:
    """Who goes on, best first, and who leaves: the best `part` of the points by mean stay, and near misses: those
    within `within` of the last one kept, at most half as many again.

    A point that lacks a result leaves: a mean over other seeds is not comparable. cuts: False keeps all the others.
    The interval of the paired difference from the last one kept is written down; it keeps nobody.
    """
    scored = {point: [v for v in row if v is not None] for point, row in values.items() if row and None not in row}
    means = {point: statistics.fmean(row) for point, row in scored.items()}
    order = sorted(means, key=lambda point: means[point] if mode == "min" else -means[point])  # ties: as in the file
    count = expected(len(order), part) if cuts and order else len(order)
    near = [point for point in order[count:] if is_near(means[point], means[order[count - 1]], mode, metric, within)]
    kept = order[:count] + near[: most(len(order), part) - count if cuts else None]
    dropped = {
        point: Left(reason=f"{list(row).count(None)} of {len(row)} runs have no result")
        for point, row in values.items()
        if point not in means
    }
    for point in order[len(kept) :]:
        last = order[count - 1]
        pairs = [own - other for own, other in zip(scored[point], scored[last], strict=True)]
        error = 2 * statistics.stdev(pairs) / math.sqrt(len(pairs)) if len(pairs) > 1 else None
        behind = means[point] - means[last]
        reason = f"{metric} {means[point]:.4g}, the last one kept has {means[last]:.4g}"
        interval = None if error is None else (behind - error, behind + error)  # rough, of so few seeds
        dropped[point] = Left(reason=reason, difference=behind, interval=interval)
    return kept, dropped
