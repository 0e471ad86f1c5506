"""What an adaptive search decided, and what it cost against training every point in full."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.collect.collection import Collection
from analysis.formatting import plural
from runner.rundir.ledger import pages
from runner.search.rounds import cost

POINTS = 3  # that a line names


def search_lines(collection: Collection) -> Iterator[str]:
    """The rounds, who left in each and why, and the cost; nothing for an experiment without a search."""
    plan = collection.manifest.search
    if plan is None:
        return
    decided = list(pages(collection.directory))[: len(plan.rounds)]
    for number, page in enumerate(decided, 1):
        left = [f"{point} ({why.get('reason')})" for point, why in list(page.dropped.items())[:POINTS]]
        more = f"; {len(page.dropped) - POINTS} more" if len(page.dropped) > POINTS else ""
        names = f"; left: {'; '.join(left)}{more}" if left else ""
        yield f"{plan.named(number)}: {plural(len(page.kept), 'point')} kept{names}"
    if len(decided) < len(plan.rounds):
        yield f"not decided yet: {plan.named(len(decided) + 1)}; what follows is provisional"
    points = [len(seen) for page in decided if isinstance(seen := page.content.get("seen"), dict)]
    if points and points[0]:
        share = cost(plan, points)
        yield f"cost: {share:.0%} of every point with {plural(plan.seeds, 'seed')} and the full budget"
        if len(decided) == len(plan.rounds):
            yield "only what reached the last round is ranked: a wrong drop is not seen here"
