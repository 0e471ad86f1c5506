"""A search in words: where it stands, who is in the race, who left and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

from runner.config.quantities import counted
from runner.files import as_number
from runner.matrix.expansion import Expansion
from runner.rundir.layout import ExperimentDir
from runner.rundir.ledger import Page, Round, SearchPlan, pages, search_plan
from runner.rundir.manifest import Manifest
from runner.search.rounds import cost, expected, kept_part, most
from runner.submit.rounds import Step

SHOWN = 6  # points that a line names


def round_lines(step: Step, plan: SearchPlan) -> Iterator[str]:
    """What a submission has decided, and which round it goes on with."""
    for decided, page in step.decided:
        yield f"{plan.named(decided.number)}: {_outcome(page)}"
    yield f"search: {plan.named(step.round.number)}" if step.round else "search: all rounds are decided"


def cost_lines(expansion: Expansion) -> Iterator[str]:
    """The runs of each round, and what they cost, expected and at most."""
    search, plan = expansion.file.experiment.search, expansion.search
    if search is None or plan is None:
        return
    points, part = len({run.point for run in expansion.runs}), kept_part(search)
    ways = [_survivors(plan.rounds, points, rule, part) for rule in (expected, most)]
    for step, likely, largest in zip(plan.rounds, *ways, strict=True):
        at_most = "" if likely == largest else f", {largest:,} at most"
        yield f"search: {plan.named(step.number)}: {counted(likely, 'point')}{at_most}"
    likely, largest = (cost(plan, way) for way in ways)
    yield f"expected cost {likely:.0%} of every point with all seeds and the full budget, {largest:.0%} at most"
    if plan.key and plan.stable is None:
        saved = likely - cost(replace(plan, stable=1.0), ways[0])
        yield f"each rung starts anew, which costs about {saved:.0%} of that; docs/search.md says when it need not"


def _survivors(plan: Sequence[Round], points: int, rule: Callable[[int, Fraction], int], part: Fraction) -> list[int]:
    """How many points run in each round."""
    counts, alive = [], 0
    for step in plan:
        alive = alive + step.proposes if step.proposes else alive or points
        counts.append(step.proposes or alive)
        alive = rule(alive, part) if step.cuts else alive
    return counts


def status_lines(directory: ExperimentDir, plan: Manifest) -> Iterator[str]:
    """Where the search of an experiment stands; nothing for an experiment without one."""
    search = search_plan(plan.content)
    if search is None:
        return
    decided = list(pages(directory))[: len(search.rounds)]
    points = list(decided[-1].kept) if decided else list(dict.fromkeys(run.point for run in plan.runs))
    if len(decided) < len(search.rounds):
        race = f"{counted(len(points), 'point')} in the race: {_some(points)}"
        yield f"search: {search.named(len(decided) + 1)}, {race}"
    else:
        yield f"search: all {len(decided)} rounds are decided; best first: {_some(points)}"
    for number, page in enumerate(decided, 1):
        for point, why in list(page.dropped.items())[:SHOWN]:
            yield f"left in round {number}: {point} ({why.get('reason')}{_interval(why.get('interval'))})"
        if len(page.dropped) > SHOWN:
            rest = counted(len(page.dropped) - SHOWN, "point")
            yield f"left in round {number}: {rest} more; {directory.search_page(number)} has all"


def _interval(ends: object) -> str:
    numbers = [as_number(end) for end in ends] if isinstance(ends, list) else []
    return f", difference {numbers[0]:.2g} to {numbers[1]:.2g}" if len(numbers) == 2 and None not in numbers else ""


def _outcome(page: Page) -> str:
    left = f", {len(page.dropped)} left" if page.dropped else ""
    return f"{counted(len(page.kept), 'point')} kept{left}; best first: {_some(page.kept)}"


def _some(points: Sequence[str]) -> str:
    return "; ".join(points[:SHOWN]) + ("; …" if len(points) > SHOWN else "")
