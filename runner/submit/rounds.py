"""Which runs a search sends next: it goes through its rounds, decides those that have ended, and stops at the first
that has not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runner.errors import UserError
from runner.files import as_number
from runner.matrix.expansion import Expansion, Run
from runner.matrix.run_id import canonical_json
from runner.rundir.layout import ExperimentDir
from runner.rundir.ledger import Page, Round, read_page, write_page
from runner.rundir.states import RunState
from runner.search.decision import decide
from runner.search.rounds import kept_part
from runner.submit.plan import Plan, Policy, plan


@dataclass(frozen=True)
class Step:
    """Where a search stands."""

    plan: Plan  # of the runs of the round
    round: Round | None  # that is under way; None: the search is over
    decided: tuple[tuple[Round, Page], ...]  # the rounds that this call has decided


def advance(
    directory: ExperimentDir, expansion: Expansion, runs: Sequence[Run], policy: Policy, *, writes: bool = True
) -> Step:
    """Decide every round that has ended; the plan is of the first one that has not, for those of its runs that are
    among `runs`. Call it under `manifest.submit_lock`; with `writes` False nothing is written.

    A run that was cancelled, or a round without any result, waits for a person. Raises UserError where the matrix
    is not the one that earlier rounds were decided for.
    """
    experiment = expansion.file.experiment
    alive = list(dict.fromkeys(run.point for run in expansion.runs))
    chosen = {run.run_id for run in runs}
    identity = _identity(expansion)
    decided: list[tuple[Round, Page]] = []
    planned = Plan([], {})
    plan_of_rounds = expansion.search.rounds if expansion.search else ()
    for step in plan_of_rounds:
        page = read_page(directory, step.number)
        if page is not None and page.content.get("search") != identity:
            raise UserError(
                f"{directory.search_page(step.number)}: the matrix or the search has changed since round {step.number} "
                "was decided",
                next_command="another `experiment:` name, or delete the folder search to decide all rounds anew",
            )
        if page is None:
            seeds = experiment.matrix.seeds[: step.seeds]
            planned = plan(
                directory, [expansion.by_place[p, step.rung, s] for p in alive for s in seeds], experiment, policy
            )
            content = (
                None
                if _waits(planned, len(alive) * step.seeds, step is plan_of_rounds[-1])
                else _page(expansion, step, alive, planned.states)
            )
            if content is None or not content["kept"]:
                send = [run for run in planned.send if run.run_id in chosen]
                return Step(replace(planned, send=send), step, tuple(decided))
            if writes:
                write_page(directory, {"search": identity, **content})
            page = Page(tuple(content["kept"]), content["dropped"], content)
            decided.append((step, page))
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
    content = [rules, sorted((run.point, run.digest) for run in expansion.runs)]
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:16]


def _page(expansion: Expansion, step: Round, alive: Sequence[str], states: Mapping[str, RunState]) -> dict[str, Any]:
    """The page of a round whose runs have all ended."""
    experiment = expansion.file.experiment
    search, select = experiment.search, experiment.select
    assert search is not None
    assert select.metric is not None
    seeds = experiment.matrix.seeds[: step.seeds]
    values = {
        point: [_value(states[expansion.by_place[point, step.rung, seed].run_id], select.metric) for seed in seeds]
        for point in alive
    }
    part = kept_part(search)
    decision = decide(values, select.mode or "min", select.metric, part, select.within, cuts=step.cuts)
    last: dict[int, int] = {}  # rung → seeds, up to this round
    for earlier in expansion.search.rounds[: step.number] if expansion.search else ():
        last[earlier.rung] = max(last.get(earlier.rung, 0), earlier.seeds)
    begun = {(rung, seed) for rung, count in last.items() for seed in experiment.matrix.seeds[:count]}
    never: dict[str, list[str]] = {point: [] for point in decision.dropped}
    for run in expansion.runs:
        if run.point in never and (run.rung, run.seed) not in begun:
            never[run.point].append(run.run_id)
    return {
        "round": step.number,
        "budget": {search.rungs.key: search.rungs.values[step.rung]} if search.rungs else {},
        "seeds": seeds,
        "metric": select.metric,
        "mode": select.mode,
        "keep": str(part) if step.cuts else "all",
        "within": select.within,
        "seen": {point: {"mean": decision.means.get(point), "values": row} for point, row in values.items()},
        "kept": list(decision.kept),
        "dropped": {point: {**why, "runs": never[point]} for point, why in decision.dropped.items()},
    }


def _value(state: RunState, metric: str) -> float | None:
    metrics = (state.result or {}).get("metrics")
    return as_number(metrics.get(metric)) if isinstance(metrics, dict) else None
