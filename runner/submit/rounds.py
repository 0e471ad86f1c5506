"""Which runs a search sends next: it decides the rounds that have ended, and stops at the first that has not."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from runner.errors import UserError
from runner.matrix.expansion import Expansion, Run
from runner.matrix.run_id import canonical_json
from runner.rundir.layout import ExperimentDir
from runner.rundir.ledger import Page, read_page, write_page
from runner.search.rounds import decide, kept_part
from runner.submit.plan import Plan, Policy, plan


@dataclass(frozen=True)
class Step:
    """Where a search stands."""

    plan: Plan  # of the runs of the round
    round: int | None  # that is under way; None: the search is over
    decided: tuple[Page, ...]  # by this call


def advance(
    directory: ExperimentDir, expansion: Expansion, runs: Sequence[Run], policy: Policy, *, writes: bool = True
) -> Step:
    """Decide every round that has ended; the plan is of the first one that has not, and sends those of its runs that
    are among `runs`. Call it under `manifest.submit_lock`; with `writes` False nothing is written.

    A run that was cancelled, or a round without any result, waits for a person. Raises UserError where the matrix is
    not the one that earlier rounds were decided for.
    """
    assert expansion.search is not None
    alive, chosen = list(dict.fromkeys(run.point for run in expansion.runs)), {run.run_id for run in runs}
    decided: list[Page] = []
    planned, identity = Plan([], {}), _identity(expansion)
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
            page = None if _waits(planned, len(of_round), last) else _page(expansion, number, alive, planned)
            if page is None or not page.kept:
                send = [run for run in planned.send if run.run_id in chosen]
                return Step(replace(planned, send=send), number, tuple(decided))
            if writes:
                write_page(directory, page)
            decided.append(page)
        alive = list(page.kept)
    return Step(replace(planned, send=[]), None, tuple(decided))


def _waits(planned: Plan, runs: int, last: bool) -> bool:
    """Whether a round has not ended. What failed for good ends it, but not the last one: nobody needs to go on then."""
    cancelled = any(planned.states[run.run_id].state == "cancelled" for run in planned.held_back)
    return cancelled or len(planned.completed) + (0 if last else len(planned.held_back)) < runs


def _identity(expansion: Expansion) -> str:
    """Of what decisions depend on beside the results."""
    search, select = expansion.file.experiment.search, expansion.file.experiment.select
    rules = [repr(search and search.model_dump(exclude_defaults=True)), select.metric, select.mode, select.within]
    text = canonical_json([rules, sorted((run.point, run.digest) for run in expansion.runs)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _page(expansion: Expansion, number: int, alive: Sequence[str], planned: Plan) -> Page:
    """The page of a round whose runs have all ended."""
    search, plan, select = expansion.file.experiment.search, expansion.search, expansion.file.experiment.select
    assert search is not None
    assert plan is not None
    steps, metric, mode, part = plan.rounds[:number], str(select.metric), select.mode or "min", kept_part(search)
    seen = {
        point: tuple(_value(planned, run, metric) for run in expansion.of_round(steps[-1], [point])) for point in alive
    }
    last = number == len(plan.rounds)
    kept, dropped = decide(seen, mode, metric, part, select.within, cuts=not last)
    begun = {run.run_id for step in steps for run in expansion.of_round(step, dropped)}
    never: dict[str, list[str]] = {point: [] for point in dropped}
    for run in expansion.runs:
        if run.point in never and run.run_id not in begun:
            never[run.point].append(run.run_id)
    return Page(
        search=_identity(expansion),
        round=number,
        rule=f"{'all' if last else part} by {metric} ({mode}), near misses within {select.within:g}",
        seen=seen,
        kept=tuple(kept),
        dropped={point: left.model_copy(update={"runs": tuple(never[point])}) for point, left in dropped.items()},
    )


def _value(planned: Plan, run: Run, metric: str) -> float | None:
    result = planned.states[run.run_id].result
    return result.metrics.get(metric) if result else None
