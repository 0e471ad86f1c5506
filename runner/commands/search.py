"""A search in words: where it stands, who is in the race, who left and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

from runner.config.quantities import counted
from runner.matrix.expansion import Expansion
from runner.matrix.ladder import decay_of
from runner.matrix.run_id import value_label
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir
from runner.rundir.ledger import Page, pages
from runner.rundir.manifest import Manifest
from runner.search.rounds import Round, cost, expected, kept_part, most
from runner.submit.rounds import Step

SHOWN = 6  # points that a line names


def round_lines(step: Step, expansion: Expansion) -> Iterator[str]:
    """What a submission has decided, and which round it goes on with."""
    plan = manifest.search_record(expansion)
    for decided, page in step.decided:
        yield f"{_named(plan, decided.number)}: {_outcome(page)}"
    yield f"search: {_named(plan, step.round.number)}" if step.round else "search: all rounds are decided"


def cost_lines(expansion: Expansion) -> Iterator[str]:
    """The runs of each round, and what they cost, expected and at most."""
    experiment, plan = expansion.file.experiment, expansion.rounds
    search = experiment.search
    if search is None:
        return
    points, named = len({run.point for run in expansion.runs}), manifest.search_record(expansion)
    part, stable = kept_part(search), stable_part(expansion)
    ways = [_survivors(plan, points, rule, part) for rule in (expected, most)]
    for step, likely, largest in zip(plan, *ways, strict=True):
        number = f"{likely:,}" if likely == largest else f"{likely:,} points expected, {largest:,}"
        yield f"search: {_named(named, step.number)}: {number} points{' at most' if likely != largest else ''}"
    seeds = len(experiment.matrix.seeds)
    likely, largest = (cost(search, plan, seeds, way, stable) for way in ways)
    yield f"expected cost {likely:.0%} of every point with all seeds and the full budget, {largest:.0%} at most"
    if search.rungs and stable is None:
        begun = likely - cost(search, plan, seeds, ways[0], 1.0)
        yield f"each rung starts anew: about {begun:.0%} of that matrix is trained again; see docs/search.md"


def _survivors(plan: Sequence[Round], points: int, rule: Callable[[int, Fraction], int], part: Fraction) -> list[int]:
    """How many points run in each round."""
    counts, alive = [], 0
    for step in plan:
        alive = alive + step.proposes if step.proposes else alive or points
        counts.append(step.proposes or alive)
        alive = rule(alive, part) if step.cuts else alive
    return counts


def stable_part(expansion: Expansion) -> float | None:
    """The part of a budget after which every run of the next rung goes on from the one below; None: it starts anew."""
    parts = {
        1 - decay if (decay := decay_of(expansion.file, run.params)) is not None else None for run in expansion.runs
    }
    return parts.pop() if len(parts) == 1 else None


def status_lines(directory: ExperimentDir, plan: Manifest) -> Iterator[str]:
    """Where the search of an experiment stands; nothing for an experiment without one."""
    search = plan.content.get("search")
    if not isinstance(search, dict) or not isinstance(search.get("rounds"), list):
        return
    decided = list(pages(directory))[: len(search["rounds"])]
    points = list(decided[-1].kept) if decided else list(dict.fromkeys(run.point for run in plan.runs))
    if len(decided) < len(search["rounds"]):
        race = f"{counted(len(points), 'point')} in the race: {_some(points)}"
        yield f"search: {_named(search, len(decided) + 1)}, {race}"
    else:
        yield f"search: all {len(decided)} rounds are decided; best first: {_some(points)}"
    for number, page in enumerate(decided, 1):
        for point, why in list(page.dropped.items())[:SHOWN]:
            interval = why.get("interval")
            margin = f", difference {interval[0]:.2g} to {interval[1]:.2g}" if isinstance(interval, list) else ""
            yield f"left in round {number}: {point} ({why.get('reason')}{margin})"
        if len(page.dropped) > SHOWN:
            rest = counted(len(page.dropped) - SHOWN, "point")
            yield f"left in round {number}: {rest} more; {directory.search_page(number)} has all"


def _named(search: dict[str, object], number: int) -> str:
    """`round 2 of 3 (epochs=10, 4 seeds)`"""
    rounds, budget = search["rounds"], search["budget"]
    assert isinstance(rounds, list)
    assert isinstance(budget, dict)
    step = rounds[number - 1]
    size = f"{budget['key'].rpartition('.')[2]}={value_label(budget['values'][step['rung']])}, " if budget else ""
    return f"round {number} of {len(rounds)} ({size}{counted(step['seeds'], 'seed')})"


def _outcome(page: Page) -> str:
    left = f", {len(page.dropped)} left" if page.dropped else ""
    return f"{counted(len(page.kept), 'point')} kept{left}; best first: {_some(page.kept)}"


def _some(points: Sequence[str]) -> str:
    return "; ".join(points[:SHOWN]) + ("; …" if len(points) > SHOWN else "")
