"""What manifest.json holds: the runs of an experiment and what ranks them, as last submitted."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from runner.health.quantities import Quantity, read_quantities
from runner.health.thresholds import Thresholds, overridden
from runner.record import Record
from runner.rundir.layout import ExperimentDir
from runner.rundir.ledger import SearchPlan, search_plan


@dataclass(frozen=True)
class PlannedRun(Record):
    """A run as the manifest lists it."""

    run_id: str
    variant: str = ""
    seed: int | None = None  # None: damaged
    axes: dict[str, Any] = field(default_factory=dict)  # dotted key → value
    params: dict[str, Any] = field(default_factory=dict)
    number: int = 0  # counted from 1, in the order of the manifest
    point: str = ""  # of a search: the variant without its budget
    rung: int = -1  # place of its budget in a search; -1 without one

    readers: ClassVar = {"run_id": lambda value: _directory_name(value)}


def _directory_name(value: Any) -> str | None:
    """`value` where it names a directory: it holds no separator."""
    named = isinstance(value, str) and value not in ("", ".", "..") and "/" not in value and "\0" not in value
    return value if named else None


@dataclass(frozen=True)
class Select(Record):
    """How variants are ranked."""

    metric: str = "val_mae"
    mode: str = "min"
    within: Any = 0.05  # share of the best; variants inside it are tied
    ratio: Any = None  # healthy band of the fusion ratio
    target_mae: dict[str, float] = field(default_factory=dict)  # where an older version wrote it

    readers: ClassVar = {"within": lambda value: value, "ratio": lambda value: value}

    @property
    def test_metric(self) -> str:
        """The same metric on the test split; shown, never used."""
        return "test_" + self.metric.removeprefix("val_")

    @property
    def sign(self) -> int:
        """+1 where smaller is better."""
        return 1 if self.mode == "min" else -1


@dataclass(frozen=True)
class Manifest(Record):
    """The runs of an experiment, as last submitted."""

    experiment: str = ""
    description: str = ""
    task: str | None = None
    adopted: bool = False  # its runs are another program's, and nothing of ours starts them again
    runs: tuple[PlannedRun, ...] = ()
    select: Select = Select()
    health: dict[str, Any] = field(default_factory=dict)  # thresholds that replace the defaults
    baseline: str | None = None  # variant
    next: dict[str, Any] = field(default_factory=dict)  # {config, top}; empty: no next stage is planned
    target_mae: dict[str, float] = field(default_factory=dict)  # {good, acceptable}: the user's own goal, shown only
    retry: dict[str, Any] = field(default_factory=dict)  # the policy
    config: str | None = None  # the experiment file that was submitted
    created: float | None = None  # Unix seconds
    advice: dict[str, Any] = field(default_factory=dict)  # kind of failure → what the task says to do about it
    axes: list[str] = field(default_factory=list)  # every parameter that some variant sets
    quantities: tuple[Quantity, ...] = ()  # that the task declares
    search: SearchPlan | None = None  # which decided who went on
    below: frozenset[str] = frozenset()  # run ids at the smaller budgets of a search, where they are left out of `runs`

    readers: ClassVar = {
        "runs": lambda runs: _planned(runs), "select": Select.of, "quantities": read_quantities, "search": search_plan,
        "below": lambda value: None,
    }  # fmt: skip

    @property
    def runs_user_code(self) -> bool:
        """Whether the task is a command or a class of the user's."""
        return self.task is None or self.task == "command" or ":" in self.task

    @cached_property
    def thresholds(self) -> Thresholds:
        """Of the health rules; ConfigError for a name that is none."""
        file = ExperimentDir.manifest.name
        return overridden(self.health, self.select.ratio, file=file, quantities=self.quantities)


def _planned(runs: Any) -> tuple[PlannedRun, ...] | None:
    """The runs that can be read, numbered."""
    if not isinstance(runs, list):
        return None
    every = (
        PlannedRun.of(run, number=number, variant=run.get("run_id"), point=run.get("variant"))
        for number, run in enumerate(runs, 1)
        if isinstance(run, dict)
    )
    return tuple(run for run in every if run is not None)
