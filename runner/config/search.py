"""The section `search` of an experiment file: rungs, racing over seeds, proposals."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from runner.config.part import Part

HALF = Fraction(1, 2)  # that a round of a race without rungs keeps


def _fraction(value: Any) -> Fraction:
    try:
        part = Fraction(str(value)).limit_denominator(1000)
    except (ValueError, ZeroDivisionError):
        part = Fraction(0)
    if not 0 < part < 1:
        raise ValueError(f"found {value!r}; write a part between 0 and 1, as 1/3 or 0.25")
    return part


def _rising(values: list[int | float]) -> list[int | float]:
    if values[0] <= 0 or any(low >= high for low, high in pairwise(values)):
        raise ValueError(f"found {values}; write positive numbers that rise, the full budget last, as [5, 20, 80]")
    return values


# pydantic knows fractions since 2.10 only
KeptPart = Annotated[
    Fraction,
    PlainValidator(_fraction),
    PlainSerializer(Fraction.__str__),
    WithJsonSchema({"type": ["number", "string"], "examples": ["1/3", 0.25]}),
]


class Rungs(Part):
    """Budgets of a point, the smallest first; only the best go on to the next."""

    key: str  # what the budget is: train.epochs or data.train; of a command values.NAME
    values: Annotated[list[int | float], AfterValidator(_rising)] = Field(min_length=2)  # the full budget last
    keep: KeptPart = Fraction(1, 3)  # part of the points that goes on from each rung


class Propose(Part):
    """New points from the results so far, with the axes of matrix.random; matrix.random.count is not used then."""

    method: Annotated[Literal["tpe"], WithJsonSchema({"enum": ["tpe"]})] = (
        "tpe"  # tree-structured Parzen estimator, by Optuna
    )
    count: int = Field(ge=1, le=10_000)  # points in all; the first at_once of them are drawn
    at_once: int = Field(12, ge=1)  # points of a round; the next ones are proposed when all of these have results
    seed: int = Field(0, ge=0)  # another one proposes other points

    @model_validator(mode="after")
    def _proposes_something(self) -> Propose:
        if self.count <= self.at_once:
            raise ValueError(
                f"found count {self.count} and at_once {self.at_once}, so nothing is proposed; write more points in all"
            )
        return self


class Search(Part):
    """Which runs go on; without it every run of the matrix is trained in full."""

    rungs: Rungs | None = None  # small budgets first
    seeds: Literal["all", "racing"] = "all"  # racing: few seeds first, more for the points still in the race
    propose: Propose | None = None  # where to look next; null: the points of the matrix, no others

    @model_validator(mode="after")
    def _decides_something(self) -> Search:
        if self.rungs is None and self.seeds == "all" and self.propose is None:
            raise ValueError("decides nothing; write rungs, seeds: racing, propose, or several of them")
        return self
