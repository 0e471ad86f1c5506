"""The columns of the ranked table, each defined once, for terminal, CSV, JSON, Markdown, LaTeX and HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Flag, auto
from functools import partial
from operator import attrgetter, methodcaller
from typing import Any, NamedTuple

from analysis.formatting import axis_value, minutes, parameter_count, percent, significant
from analysis.rank.comparison import BaselineComparison
from analysis.rank.ranking import Variant
from analysis.rank.summary import Summary
from analysis.task_definitions import JUDGED_LAYER, JUDGED_SIZES, METRICS, Shown
from runner.health.quantities import Quantity, grouped, shown_together

Parts = Mapping[str, Callable[[Any], Any]]  # field → its number, from a value that is there


class Where(Flag):
    """Who sees a column."""

    DATA = auto()  # CSV and JSON
    PEOPLE = auto()  # terminal, Markdown, HTML
    PAPER = auto()  # LaTeX


EVERYWHERE = Where.DATA | Where.PEOPLE | Where.PAPER


@dataclass(frozen=True)
class Column:
    """One column: what it holds of a variant, and how that is shown."""

    name: str  # in CSV and JSON
    value: Callable[[Variant], Any]  # None where a variant has none
    show: Callable[[Any], str] = str  # with its unit
    title: str = ""  # the heading; left out: the name
    importance: int = 50  # the lowest are left out first where a terminal is narrow
    right: bool = True  # alignment
    folds: bool = False  # at a comma, where its cells are long
    parts: Parts = field(default_factory=dict)  # of a value of several numbers
    where: Where = EVERYWHERE

    @property
    def heading(self) -> str:
        return self.title or self.name

    def cell(self, variant: Variant) -> str:
        """The value as people read it; blank for none."""
        value = self.value(variant)
        return "" if value is None else self.show(value)

    @property
    def field_names(self) -> list[str]:
        """Its columns in CSV."""
        return list(self.parts) or [self.name]

    def fields(self, variant: Variant) -> dict[str, Any]:
        """The value as data: one field, or one for each of its numbers."""
        value = self.value(variant)
        if not self.parts:
            return {self.name: value}
        return {name: None if value is None else number(value) for name, number in self.parts.items()}

    def sort_key(self, variant: Variant) -> Any:
        """What the column is sorted by: its first field; blank for none."""
        first = next(iter(self.fields(variant).values()))
        return "" if first is None else first


class SeedCount(NamedTuple):
    """Seeds with a result, of those planned."""

    scored: int
    planned: int

    def __str__(self) -> str:
        return str(self.scored) if self.scored == self.planned else f"{self.scored}/{self.planned}"


def columns(summary: Summary, where: Where) -> list[Column]:
    """The columns of one kind of output, in order."""
    return [column for column in _all(summary) if column.where & where]


def filled(summary: Summary, where: Where, variants: Sequence[Variant]) -> list[Column]:
    """Those that hold something of one of the variants."""
    return [column for column in columns(summary, where) if any(map(column.cell, variants))]


def _all(summary: Summary) -> list[Column]:
    """Every column, in the order of results_summary.csv."""
    manifest = summary.collection.manifest
    select, thresholds = manifest.select, manifest.thresholds
    on_gpus = any(variant.gpus for variant in summary.variants)
    compared = {item.variant: item for item in summary.comparisons}
    against = "against baseline" if summary.baseline else "against best"
    interval: Parts = {
        "difference": attrgetter("relative"),
        "difference_low": attrgetter("low"),
        "difference_high": attrgetter("high"),
    }

    def judged(shown: Shown) -> Column:
        return _of_task(shown, lambda variant: variant.judged(thresholds).get(shown.name))

    def reported(shown: Shown) -> Column:
        return _of_task(shown, lambda variant: variant.quantities.get(shown.name))

    def axis(name: str) -> Column:
        return Column(name, lambda variant: axis_value(variant.axes.get(name)), title=name.rsplit(".", 1)[-1],
                      importance=1, right=False)  # fmt: skip

    every = [
        Column("rank", lambda variant: variant.rank, title="#", importance=99),
        Column("variant", lambda variant: variant.name, importance=99, right=False),
        *map(axis, manifest.axes),
        Column("state", lambda variant: variant.state, where=Where.DATA),
        Column("seeds", lambda variant: SeedCount(len(variant.scored), len(variant.runs)), importance=90,
               parts={"seeds": attrgetter("scored")}),
        Column(select.metric, lambda variant: variant.val, importance=98, parts=_over_seeds(select.metric)),
        Column(select.test_metric, lambda variant: variant.test, title=f"{select.test_metric} †", importance=80,
               parts=_over_seeds(select.test_metric)),
        *map(judged, JUDGED_LAYER),
        Column("health", lambda variant: variant.health, importance=96, right=False, where=Where.DATA | Where.PEOPLE),
        Column("parameters", lambda variant: variant.parameters, parameter_count, importance=62),
        Column("seconds", lambda variant: variant.seconds, minutes, title="minutes", importance=63,
               where=Where.DATA if on_gpus else EVERYWHERE),
        Column("gpu_minutes", lambda variant: variant.gpu_minutes, lambda value: significant(value, 3),
               title="GPU minutes", importance=63),
        *map(judged, JUDGED_SIZES),
        *map(reported, METRICS),
        Column("flags", lambda variant: ", ".join(flag.mark for flag in variant.flags), importance=91, right=False,
               folds=True, where=Where.DATA | Where.PEOPLE),
        Column("difference", lambda variant: compared.get(variant.name), _difference, title=against,
               importance=94, parts=interval, where=Where.DATA | Where.PEOPLE),
    ]  # fmt: skip
    taken = {name for column in every for name in column.field_names}
    return every + _declared(
        [item for item in thresholds.quantities if item.column and item.name not in taken], summary.variants
    )


def _of_task(shown: Shown, value: Callable[[Variant], Any]) -> Column:
    where = EVERYWHERE if shown.in_paper else Where.DATA | Where.PEOPLE
    return Column(
        shown.column or shown.name, value, shown.show, importance=shown.importance, right=shown.right, where=where
    )


def _declared(quantities: Sequence[Quantity], variants: Sequence[Variant]) -> list[Column]:
    """One column for each group of the quantities that a task declares, with those that some variant reports."""
    reported = {name for variant in variants for name in variant.quantities}
    return [
        Column(
            stem,
            attrgetter("quantities"),
            partial(shown_together, items),
            importance=61,
            right=not items[0].group,
            parts={item.name: methodcaller("get", item.name) for item in items},
            where=Where.DATA | Where.PEOPLE,
        )
        for stem, items in grouped(item for item in quantities if item.name in reported).items()
    ]


def _over_seeds(metric: str) -> Parts:
    return {f"{metric}_mean": attrgetter("mean"), f"{metric}_std": attrgetter("sd")}


def _difference(value: BaselineComparison) -> str:
    """`-4.0 % (-6.1 to -1.9)`: a relative change with its 95 % interval, where there is one."""
    if value.low is None or value.high is None:
        return percent(value.relative)
    return f"{percent(value.relative)} ({100 * value.low:+.1f} to {100 * value.high:+.1f})"
