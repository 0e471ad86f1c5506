"""The points of a search at each of its budgets: every rung of a point is a variant, with runs of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from runner.config.dotted import at
from runner.config.experiment import Overrides
from runner.config.experiment_file import ExperimentFile
from runner.config.validation import models_in
from runner.errors import Problem
from runner.matrix.points import Point
from runner.matrix.run_id import axis_names, value_label
from runner.search.rounds import fewest_seeds, rounds


@dataclass(frozen=True, slots=True)
class BudgetedPoint:
    """A point at one budget."""

    name: str  # of the point, and of its variant at the full budget
    variant: str
    point: Point  # with the budget among its overrides
    axes: Overrides  # without the full budget: as a plain matrix has it
    rung: int
    seeds: int  # the first ones of matrix.seeds


def ladder(file: ExperimentFile, named: Sequence[tuple[str, Point]]) -> list[BudgetedPoint]:
    """Each of the points at each budget, the smallest first; without rungs the points as they are."""
    search, seeds = file.experiment.search, len(file.experiment.matrix.seeds)
    if search is None or search.rungs is None or fewest_seeds(search) > seeds:
        return [BudgetedPoint(name, name, point, point.overrides, 0, seeds) for name, point in named]
    key, values = search.rungs.key, search.rungs.values
    plan = {step.rung: step.seeds for step in rounds(search, seeds)}  # the most of each rung
    places = []
    for rung, value in enumerate(values):
        for name, point in named:
            suffix = f" {axis_names([key])[key]}={value_label(value)}" if rung < len(values) - 1 else ""
            whole = {**point.overrides, key: value}
            own = replace(point, overrides=whole, origins=(*point.origins, ("search", "rungs", "key")))
            places.append(
                BudgetedPoint(name, name + suffix, own, whole if suffix else point.overrides, rung, plan[rung])
            )
    return places


def stable_part(file: ExperimentFile, params: Mapping[str, Any]) -> float:
    """The part of its epochs after which a run is taken over by that of the next rung; 0 where that one starts anew."""
    search, train = file.experiment.search, params.get("train")
    over_epochs = search is not None and search.rungs is not None and search.rungs.key == "train.epochs"
    if not over_epochs or not isinstance(train, dict) or train.get("schedule") != "warmup_stable_decay":
        return 0.0
    return 1 - float(train["decay"])


def search_problems(
    file: ExperimentFile, schema: type[BaseModel], keys: Sequence[str], seed_key: str
) -> Iterator[Problem]:
    """What the file says against its own `search`."""
    search, source, params = file.experiment.search, file.source, file.experiment.params
    seeds, needed = len(file.experiment.matrix.seeds), fewest_seeds(search) if search else 0
    if seeds < needed:
        what = f"found {seeds}; the race needs a further seed in each of its {needed} rounds"
        yield source.problem(("matrix", "seeds"), what, allowed=f"{needed} seeds or more, or seeds: all")
    if not {"matrix", "search"} & file.spoilt:
        yield from _count_problems(file)
    if search is None or search.rungs is None:
        return
    key, full, where = search.rungs.key, search.rungs.values[-1], ("search", "rungs", "key")
    section, given = key.partition(".")[0], at(params, key)
    field = schema.model_fields.get(section)
    if key == seed_key or any(f"{one}.".startswith(f"{key}.") for one in keys):
        yield source.problem(where, f"{key} is set by the matrix, so it cannot be the budget as well")
    elif given is None and field is not None and not models_in(field.annotation):  # any key would be taken
        known = ", ".join(f"{section}.{name}" for name in at(params, section, {}))
        yield source.problem(where, f"found {key!r}, which is no value of the task", allowed=known or "none")
    elif given not in (None, full):
        what = f"found {given!r}, and the rungs of the search end at {full}"
        yield source.problem(("params", *key.split(".")), what, allowed=f"{full}, or leave it out")


def _count_problems(file: ExperimentFile) -> Iterator[Problem]:
    """How many points there are is said once; proposals choose the value of every axis, so all have to be random."""
    search, matrix = file.experiment.search, file.experiment.matrix
    proposes = search is not None and search.propose is not None
    if proposes and matrix.random is None:
        yield file.source.problem(("search", "propose"), "needs matrix.random: its axes say what may be proposed")
    elif not proposes and matrix.random is not None and not matrix.random.count:
        yield file.source.problem(("matrix", "random", "count"), "missing; it must be given")
    for key in ("axes", "zip", "exclude"):
        if proposes and getattr(matrix, key):
            what = "does not go with search.propose, which chooses the value of every axis"
            yield file.source.problem(("matrix", key), what, allowed="random, named, include and seeds")
