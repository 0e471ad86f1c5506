"""The ledger of a search: one page per round, search/NNNN.json, written once and never changed.

A page that is missing or damaged is made again from the results, equal to the first one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runner.config.quantities import counted, shortened
from runner.files import read_mapping, write_json
from runner.rundir.layout import ExperimentDir

SHOWN = 6  # points that a line names, and lines about points that left a round


class Part(BaseModel):
    """A part of our files; keys that a newer version may write are let through."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Round(Part):
    """What every point that is still in the race has run at its end."""

    rung: int = Field(ge=0)  # place of its budget in `values` of the plan; 0 where there are no rungs
    seeds: int  # the first ones of matrix.seeds


class SearchPlan(Part):
    """The rounds of a search, as manifest.json keeps them."""

    rounds: tuple[Round, ...] = Field(min_length=1)
    seeds: int = Field(gt=0)  # of the experiment
    key: str | None = None  # what the budget is; None: there are no rungs
    values: tuple[int | float, ...] = (1,)  # the budget of each rung
    stable: float = 0.0  # part of a budget after which the next rung goes on; 0: it starts anew

    def named(self, number: int) -> str:
        """`round 2 of 3 (epochs=10, 4 seeds)`"""
        step = self.rounds[number - 1]
        size = f"{self.key.rpartition('.')[2]}={self.values[step.rung]:g}, " if self.key else ""
        return f"round {number} of {len(self.rounds)} ({size}{counted(step.seeds, 'seed')})"


class Left(Part):
    """Why a point left the search."""

    reason: str
    difference: float | None = None  # of its mean from that of the last one kept
    interval: tuple[float, float] | None = None  # two standard errors around it; shown, it keeps nobody
    runs: tuple[str, ...] = ()  # of the point, that will not start


class Page(Part):
    """What one round saw and decided."""

    search: str  # digest of what decisions depend on beside the results
    round: int  # counted from 1
    rule: str  # in words: which part of the points is kept, by what
    seen: dict[str, tuple[float | None, ...]]  # point → its metric with each seed; None: that run has no result
    kept: tuple[str, ...]  # points, best first
    dropped: dict[str, Left]
    proposed: dict[str, dict[str, Any]] = {}  # points that join the next round → the values of their axes
    versions: dict[str, str] = {}  # packages that proposed them


def search_plan(content: Any) -> SearchPlan | None:
    """The search of an experiment, as its manifest keeps it; None where that is none, or damaged."""
    try:
        plan = SearchPlan.model_validate(content)
    except ValidationError:
        return None
    return plan if plan.values and all(step.rung < len(plan.values) for step in plan.rounds) else None


def read_page(directory: ExperimentDir, number: int) -> Page | None:
    """The page of round `number`; None where it is missing, damaged, or of another round."""
    try:
        page = Page.model_validate(read_mapping(directory.search_page(number)))
    except ValidationError:
        return None
    return page if page.round == number else None


def pages(directory: ExperimentDir) -> Iterator[Page]:
    """The pages from the first round on, as far as they are all there."""
    number = 0
    while page := read_page(directory, number := number + 1):
        yield page


def write_page(directory: ExperimentDir, page: Page) -> None:
    """Write the page of a round; call it under the lock of the experiment, where there is none yet."""
    write_json(directory.search_page(page.round), page.model_dump(mode="json"))


def dropped_runs(directory: ExperimentDir) -> dict[str, str]:
    """Run id → why the search ended it before its start."""
    return {
        run_id: f"{point} left the search in round {page.round}: {left.reason}"
        for page in pages(directory)
        for point, left in page.dropped.items()
        for run_id in left.runs
    }


def search_lines(directory: ExperimentDir, plan: SearchPlan, points: list[str]) -> list[str]:
    """Where a search stands: the round, who is in the race, who left and why. points: of the manifest."""
    decided = list(pages(directory))[: len(plan.rounds)]
    kept = [*decided[-1].kept, *decided[-1].proposed] if decided else points
    where = f"all {len(decided)} rounds are decided; best first"
    if len(decided) < len(plan.rounds):
        where = f"{plan.named(len(decided) + 1)}, {counted(len(kept), 'point')} in the race"
    lines = [f"search: {where}: {shortened(kept, SHOWN, '; ')}"]
    for page in decided:
        for point, left in list(page.dropped.items())[:SHOWN]:
            ends = "" if left.interval is None else ", difference {:.2g} to {:.2g}".format(*left.interval)
            lines.append(f"left in round {page.round}: {point} ({left.reason}{ends})")
        if len(page.dropped) > SHOWN:
            lines.append(f"left in round {page.round}: {len(page.dropped) - SHOWN} more; search/ has all")
    return lines
