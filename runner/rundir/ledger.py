"""The ledger of a search: one page per round, search/NNNN.json, written once and never changed.

A page that is missing or damaged is made again from the results, equal to the first one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from runner.config.quantities import counted
from runner.files import read_mapping, write_json
from runner.rundir.layout import ExperimentDir


@dataclass(frozen=True)
class Round:
    """What every point that is still in the race has done at the end of the round."""

    number: int  # counted from 1
    rung: int  # place of its budget in `rungs.values`; 0 where there are no rungs
    seeds: int  # the first ones of matrix.seeds
    proposes: int = 0  # points that are new in this round; nobody leaves until all are there
    cuts: bool = True  # False: a round of proposals that others follow, or the last one


@dataclass(frozen=True)
class SearchPlan:
    """The rounds of a search, as manifest.json keeps them."""

    rounds: tuple[Round, ...]
    seeds: int  # of the experiment
    key: str | None = None  # what the budget is; None: there are no rungs
    values: tuple[int | float, ...] = ()  # the budget of each rung
    stable: float | None = None  # part of a budget after which the next rung goes on; None: it starts anew

    def named(self, number: int) -> str:
        """`round 2 of 3 (epochs=10, 4 seeds)`"""
        step = self.rounds[number - 1]
        size = f"{self.key.rpartition('.')[2]}={self.values[step.rung]:g}, " if self.key else ""
        return f"round {number} of {len(self.rounds)} ({size}{counted(step.seeds, 'seed')})"


def search_plan(manifest: Mapping[str, Any]) -> SearchPlan | None:
    """The search of an experiment; None where it has none, or its record is damaged."""
    try:
        plan = TypeAdapter(SearchPlan).validate_python(manifest.get("search"))
    except ValidationError:
        return None
    whole = plan.rounds and all(0 <= step.rung < max(1, len(plan.values)) for step in plan.rounds)
    return plan if whole and plan.seeds > 0 and all(value > 0 for value in plan.values) else None


@dataclass(frozen=True)
class Page:
    """What one round decided."""

    kept: tuple[str, ...]  # points, best first
    dropped: Mapping[str, Mapping[str, Any]]  # point → reason, numbers, and the runs of it that will not start
    content: Mapping[str, Any]  # the whole page


def read_page(directory: ExperimentDir, number: int) -> Page | None:
    """The page of round `number`; None where it is missing, damaged, or of another round."""
    content = read_mapping(directory.search_page(number))
    kept, dropped = content.get("kept"), content.get("dropped")
    if not isinstance(kept, list) or not isinstance(dropped, dict) or content.get("round") != number:
        return None
    if not all(isinstance(point, str) for point in kept) or not all(isinstance(why, dict) for why in dropped.values()):
        return None
    return Page(tuple(kept), dropped, content)


def pages(directory: ExperimentDir) -> Iterator[Page]:
    """The pages from the first round on, as far as they are all there."""
    number = 1
    while page := read_page(directory, number):
        yield page
        number += 1


def write_page(directory: ExperimentDir, content: Mapping[str, Any]) -> None:
    """Write the page of a round; call it under the lock of the experiment, where there is none yet."""
    write_json(directory.search_page(int(content["round"])), content)


def dropped_runs(directory: ExperimentDir) -> dict[str, str]:
    """Run id → why the search ended it before its start."""
    ended: dict[str, str] = {}
    for number, page in enumerate(pages(directory), 1):
        for point, why in page.dropped.items():
            runs = why.get("runs")
            text = f"{point} left the search in round {number}: {why.get('reason')}"
            ended |= dict.fromkeys(map(str, runs if isinstance(runs, list) else ()), text)
    return ended
