"""Which runs a search sends next: it decides the rounds that have ended, and stops at the first that has not."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass, replace
from importlib.metadata import version

from runner.config.experiment import Overrides
from runner.errors import UserError
from runner.matrix.expansion import Expansion, Run
from runner.matrix.proposed import joined
from runner.matrix.run_id import canonical_json
from runner.rundir.layout import ExperimentDir
from runner.rundir.ledger import Page, pages, read_page, write_page
from runner.search.rounds import decide, generations, kept_part
from runner.submit.plan import Plan, Policy, plan


@dataclass(frozen=True)
class Step:
    """Where a search stands."""

    plan: Plan  # of the runs of the round
    round: int | None  # that is under way; None: the search is over
    decided: tuple[Page, ...]  # by this call
    expansion: Expansion  # with all points that were proposed


def advance(
    directory: ExperimentDir, expansion: Expansion, runs: Sequence[Run], policy: Policy, *, writes: bool = True
) -> Step:
    """Decide every round that has ended; the plan is of the first one that has not, and sends those of its runs that
    are among `runs`. Call it under `manifest.submit_lock`; with `writes` False nothing is written. Points that a round
    has proposed join the next one; `expansion` may lack those of rounds that are not decided, or not any more.

    A run that was cancelled, or a round without any result, waits for a person. Raises UserError where the matrix is
    not the one that earlier rounds were decided for.
    """
    assert expansion.search is not None
    chosen, whole = {run.run_id for run in runs}, len(runs) == len(expansion.runs)
    decided: list[Page] = []
    proposed: dict[str, Overrides] = {}
    later = {name for page in pages(directory) for name in page.proposed}
    alive = [point for point in dict.fromkeys(run.point for run in expansion.runs) if point not in later]
    planned, identity = Plan([], {}), _identity(expansion, set(alive))
    for number, step in enumerate(expansion.search.rounds, 1):
        page = read_page(directory, number)
        if page is not None and page.search != identity:
            what = f"the matrix or the search has changed since round {number} was decided"
            raise UserError(
                f"{directory.search_page(number)}: {what}",
                next_command=f"another `experiment:` name, or delete {directory.search} to decide all rounds anew",
            )
        if page is None:
            of_round = expansion.of_round(step, alive)
            planned = plan(directory, of_round, expansion.file.experiment, policy)
            last = number == len(expansion.search.rounds)
            if not _waits(planned, len(of_round), last):
                page = _page(expansion, number, alive, planned, identity, proposed.keys())
            if page is None or not page.kept:
                send = [run for run in planned.send if whole or run.run_id in chosen]
                return Step(replace(planned, send=send), number, tuple(decided), expansion)
            if writes:
                write_page(directory, page)
            decided.append(page)
        alive = list(page.kept)
        if page.proposed:
            proposed |= page.proposed
            if page.proposed.keys() - {run.point for run in expansion.runs}:
                expansion = expansion.with_proposed(proposed.values())
            points = {run.point for run in expansion.runs}  # one that means the same run as another is not among them
            alive += [name for name in page.proposed if name in points]
    return Step(replace(planned, send=[]), None, tuple(decided), expansion)


def _waits(planned: Plan, runs: int, last: bool) -> bool:
    """Whether a round has not ended. What failed for good ends it, but not the last one: nobody needs to go on then."""
    cancelled = any(planned.states[run.run_id].state == "cancelled" for run in planned.held_back)
    return cancelled or len(planned.completed) + (0 if last else len(planned.held_back)) < runs


def _identity(expansion: Expansion, points: Set[str]) -> str:
    """Of what decisions depend on beside the results. points: those of the first round."""
    search, select = expansion.file.experiment.search, expansion.file.experiment.select
    rules = [repr(search and search.model_dump(exclude_defaults=True)), select.metric, select.mode, select.within]
    if search and search.propose and (random := expansion.file.experiment.matrix.random):
        rules.append(repr({key: axis.model_dump(exclude_defaults=True) for key, axis in random.axes.items()}))
    content = [rules, sorted((run.point, run.digest) for run in expansion.runs if run.point in points)]
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:16]


def _page(
    expansion: Expansion, number: int, alive: Sequence[str], planned: Plan, identity: str, known: Collection[str]
) -> Page:
    """The page of a round whose runs have all ended. known: the points that were proposed before."""
    search, plan, select = expansion.file.experiment.search, expansion.search, expansion.file.experiment.select
    assert search is not None
    assert plan is not None
    steps, metric, mode, part = plan.rounds[:number], str(select.metric), select.mode or "min", kept_part(search)
    seen = {
        point: tuple(_value(planned, run, metric) for run in expansion.of_round(steps[-1], [point])) for point in alive
    }
    cuts = generations(search) <= number < len(plan.rounds)
    kept, dropped = decide(seen, mode, metric, part, select.within, cuts=cuts)
    proposed = joined(expansion, number, {point: seen[point] for point in kept}, known)
    begun = {run.run_id for step in steps for run in expansion.of_round(step, dropped)}
    never: dict[str, list[str]] = {point: [] for point in dropped}
    for run in expansion.runs:
        if run.point in never and run.run_id not in begun:
            never[run.point].append(run.run_id)
    return Page(
        search=identity,
        round=number,
        rule=f"{part if cuts else 'all'} by {metric} ({mode}), near misses within {select.within:g}",
        seen=seen,
        kept=tuple(kept),
        dropped={point: left.model_copy(update={"runs": tuple(never[point])}) for point, left in dropped.items()},
        proposed=proposed,
        versions={name: version(name) for name in ("optuna", "numpy")} if proposed else {},
    )


def _value(planned: Plan, run: Run, metric: str) -> float | None:
    result = planned.states[run.run_id].result
    return result.metrics.get(metric) if result else None
