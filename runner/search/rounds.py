"""The rounds of a search: which budget, how many seeds, who goes on after each, and what that costs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from fractions import Fraction

from runner.config.metric_names import is_near
from runner.config.search import HALF, Search
from runner.rundir.ledger import Left, Round, SearchPlan


def rounds(search: Search, seeds: int) -> tuple[Round, ...]:
    """Every round of `search` over so many `seeds`; the first one once per generation of points.

    Without a race each rung runs all seeds. In a race the last round runs all and each one before it half as many, at
    least one: the doubling of seeds halves the variance of the mean that the next round decides by.
    """
    rungs = len(search.rungs.values) if search.rungs else 1
    if search.seeds == "all":
        counts = [seeds] * rungs
    else:
        count = rungs if rungs > 1 else 1 + math.ceil(math.log2(seeds))
        counts = [min(seeds, max(at + 1, -(-seeds // 2 ** (count - 1 - at)))) for at in range(count)]
    steps = [Round(rung=at if rungs > 1 else 0, seeds=number) for at, number in enumerate(counts)]
    return (*steps[:1] * (generations(search) - 1), *steps)


def generations(search: Search) -> int:
    """How many rounds the points join in: all in the first one, where none are proposed."""
    return -(-search.propose.count // search.propose.at_once) if search.propose else 1


def fewest_seeds(search: Search) -> int:
    """How many seeds the race needs: each of its rounds adds at least one."""
    return 1 if search.seeds == "all" else max(2, len(search.rungs.values) if search.rungs else 0)


def kept_part(search: Search) -> Fraction:
    """The part of the points that a round keeps."""
    return search.rungs.keep if search.rungs else HALF


def expected(points: int, part: Fraction) -> int:
    """How many of so many `points` a round keeps by rank."""
    return math.ceil(points * part)


def most(points: int, part: Fraction) -> int:
    """The same with all that near misses may add: half as many again."""
    kept = expected(points, part)
    return min(points, kept + kept // 2)


def cost(plan: SearchPlan, points: Sequence[int]) -> float:
    """What the rounds of `plan` cost, as a share of every point with all seeds at the full budget.

    points: how many run in each round, as far as there are rounds already. Rounds in which points only join count once.
    """
    total, rung, seeds = 0.0, -1, 0  # of the round before
    for step, count in dict(zip(plan.rounds, points, strict=False)).items():
        taken_over = plan.stable * plan.values[rung] if step.rung else 0.0
        taken_over = plan.values[step.rung] if step.rung == rung else taken_over
        total += count * (step.seeds * plan.values[step.rung] - seeds * taken_over)
        rung, seeds = step.rung, step.seeds
    return total / (max(points) * plan.seeds * plan.values[-1])


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
