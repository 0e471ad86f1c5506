"""Which runs a search sends next: it decides the rounds that have ended, and stops at the first that has not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from runner.errors import UserError
from runner.files import as_number
from runner.matrix.expansion import Expansion, Run
from runner.matrix.run_id import canonical_json
from runner.rundir.layout import ExperimentDir
from runner.rundir.ledger import Page, Round, read_page, write_page
from runner.search.decision import decide
from runner.search.rounds import kept_part
from runner.submit.plan import Plan, Policy, plan


@dataclass(frozen=True)
class Step:
    """Where a search stands."""

    plan: Plan  # of the runs of the round
    round: Round | None  # that is under way; None: the search is over
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
    planned = Plan([], {})
    for step in expansion.search.rounds:
        page = read_page(directory, step.number)
        if page is not None and page.search != _identity(expansion):
            what = f"the matrix or the search has changed since round {step.number} was decided"
            advice = f"another `experiment:` name, or delete {directory.search} to decide all rounds anew"
            raise UserError(f"{directory.search_page(step.number)}: {what}", next_command=advice)
        if page is None:
            places = expansion.of_round(step, alive)
            planned = plan(directory, places, expansion.file.experiment, policy)
            page = None if _waits(planned, len(places), step) else _page(expansion, step, alive, planned)
            if page is None or not page.kept:
                return Step(
                    replace(planned, send=[r for r in planned.send if r.run_id in chosen]), step, tuple(decided)
                )
            if writes:
                write_page(directory, page)
            decided.append(page)
        alive = list(page.kept)
    return Step(replace(planned, send=[]), None, tuple(decided))


def _waits(planned: Plan, runs: int, step: Round) -> bool:
    """Whether a round has not ended. What failed for good ends it, but not the last one: nobody needs to go on then."""
    cancelled = any(planned.states[run.run_id].state == "cancelled" for run in planned.held_back)
    return cancelled or len(planned.completed) + (len(planned.held_back) if step.cuts else 0) < runs


def _identity(expansion: Expansion) -> str:
    """Of what decisions depend on beside the results."""
    search, select = expansion.file.experiment.search, expansion.file.experiment.select
    rules = [repr(search and search.model_dump(exclude_defaults=True)), select.metric, select.mode, select.within]
    content = [rules, sorted((run.point, run.digest) for run in expansion.runs)]
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:16]


def _page(expansion: Expansion, step: Round, alive: Sequence[str], planned: Plan) -> Page:
    """The page of a round whose runs have all ended."""
    experiment, search = expansion.file.experiment, expansion.file.experiment.search
    select, metric, mode = experiment.select, str(experiment.select.metric), experiment.select.mode or "min"
    assert search is not None
    seen = {point: tuple(_value(planned, run, metric) for run in expansion.of_round(step, [point])) for point in alive}
    part = kept_part(search)
    kept, dropped = decide(seen, mode, metric, part, select.within, cuts=step.cuts)
    never = {point: tuple(_never(expansion, step, point)) for point in dropped}
    return Page(
        search=_identity(expansion),
        round=step.number,
        budget={search.rungs.key: search.rungs.values[step.rung]} if search.rungs else {},
        seeds=tuple(experiment.matrix.seeds[: step.seeds]),
        metric=metric,
        mode=mode,
        keep=str(part) if step.cuts else "all",
        within=select.within,
        seen=seen,
        kept=tuple(kept),
        dropped={point: left.model_copy(update={"runs": never[point]}) for point, left in dropped.items()},
    )


def _never(expansion: Expansion, last: Round, point: str) -> Iterator[str]:
    """The runs of a point in rounds after `last` that none up to it has."""
    assert expansion.search is not None
    rounds = expansion.search.rounds
    begun = {run.run_id for step in rounds[: last.number] for run in expansion.of_round(step, [point])}
    later = (run.run_id for step in rounds[last.number :] for run in expansion.of_round(step, [point]))
    return (run_id for run_id in dict.fromkeys(later) if run_id not in begun)


def _value(planned: Plan, run: Run, metric: str) -> float | None:
    metrics = (planned.states[run.run_id].result or {}).get("metrics")
    return as_number(metrics.get(metric)) if isinstance(metrics, dict) else None
