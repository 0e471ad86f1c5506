"""What `runner expand` says of a search."""

from __future__ import annotations

from collections.abc import Iterator

from runner.config.quantities import counted
from runner.matrix.expansion import Expansion
from runner.search.rounds import cost, expected, generations, kept_part, most


def cost_lines(expansion: Expansion) -> Iterator[str]:
    """The points of each round, and what they cost, expected and at most."""
    search, plan = expansion.file.experiment.search, expansion.search
    if search is None or plan is None:
        return
    points, propose = len({run.point for run in expansion.runs}), search.propose
    part, first = kept_part(search), [points]
    if propose is not None:
        beside = len(expansion.file.experiment.matrix.named) + len(expansion.file.experiment.matrix.include)
        first = [beside + min(at * propose.at_once, propose.count) for at in range(1, generations(search) + 1)]
    ways = [first, first]
    for _ in plan.rounds[len(first) :]:
        ways = [[*way, rule(way[-1], part)] for way, rule in zip(ways, (expected, most), strict=True)]
    for number, (likely, largest) in enumerate(zip(*ways, strict=True), 1):
        at_most = "" if likely == largest else f", {largest:,} at most"
        yield f"search: {plan.named(number)}: {counted(likely, 'point')}{at_most}"
    if first[-1] > points:
        yield f"{counted(first[-1] - points, 'point')} will be proposed; the numbers of runs and hours below lack them"
    usual, highest = (cost(plan, way) for way in ways)
    yield f"expected cost {usual:.0%} of every point with all seeds and the full budget, {highest:.0%} at most"
    if plan.key and not plan.stable:
        saved = usual - cost(plan.model_copy(update={"stable": 1.0}), ways[0])
        yield f"each rung starts anew, which costs about {saved:.0%} of that; docs/search.md says when it need not"
