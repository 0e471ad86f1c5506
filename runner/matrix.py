"""From the matrix of an experiment file to its points: axes × zip, then exclude, include, named."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from runner.errors import Problem, nearest
from runner.experiment import Matrix, Overrides
from runner.yaml_source import Key, Source


@dataclass(frozen=True)
class Point:
    """One variant: the parameters it sets and where the file says so."""

    overrides: Overrides
    origins: dict[str, Key] = field(repr=False)  # overridden key → its place in the file
    name: str | None = None  # of a named point


def points(matrix: Matrix, source: Source) -> tuple[list[Point], list[Problem]]:
    """Every point of `matrix` in a fixed order, and the mistakes in the matrix itself."""
    problems = _matrix_problems(matrix, source)
    if problems:
        return [], problems
    found = [point for point in _product(matrix) if not _excluded(point, matrix.exclude)]
    for position, overrides in enumerate(matrix.include):
        found.append(Point(overrides, {key: ("matrix", "include", position, key) for key in overrides}))
    for name, overrides in matrix.named.items():
        found.append(Point(overrides, {key: ("matrix", "named", name, key) for key in overrides}, name))
    if not found:
        problems.append(source.problem(("matrix",), "describes no variant: exclude removes every point"))
    return found, problems


def _product(matrix: Matrix) -> Iterator[Point]:
    if not matrix.axes and not matrix.zip and (matrix.include or matrix.named):
        return  # only hand-picked points: the shared parameters alone are no variant
    choices: list[list[list[tuple[str, Any, Key]]]] = [
        [[(key, value, ("matrix", "axes", key, at))] for at, value in enumerate(values)]
        for key, values in matrix.axes.items()
    ]
    for number, group in enumerate(matrix.zip):
        length = len(next(iter(group.values())))
        choices.append(
            [[(key, group[key][at], ("matrix", "zip", number, key, at)) for key in group] for at in range(length)]
        )
    for combination in itertools.product(*choices):
        flat = [setting for settings in combination for setting in settings]
        yield Point({key: value for key, value, _ in flat}, {key: origin for key, _, origin in flat})


def axis_keys(matrix: Matrix) -> list[str]:
    """Every parameter that some point sets, in the order of the file."""
    groups = [matrix.axes, *matrix.zip, *matrix.include, *matrix.named.values()]
    return list(dict.fromkeys(key for group in groups for key in group))


def matches(point: Point, wanted: Overrides) -> bool:
    """Whether `point` sets every key of `wanted` to the value given there."""
    return all(key in point.overrides and _same(point.overrides[key], value) for key, value in wanted.items())


def _same(one: Any, other: Any) -> bool:
    return canonical(one) == canonical(other)


def canonical(value: Any) -> str:
    """A text that two values share when they are equal as JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _excluded(point: Point, exclude: list[Overrides]) -> bool:
    return any(matches(point, entry) for entry in exclude)


def _matrix_problems(matrix: Matrix, source: Source) -> list[Problem]:
    problems = []
    for key, values in matrix.axes.items():
        problems += _values_problems(values, source, ("matrix", "axes", key))
    seen = set(matrix.axes)
    for number, group in enumerate(matrix.zip):
        where: Key = ("matrix", "zip", number)
        if len({len(values) for values in group.values()}) > 1:
            lengths = ", ".join(f"{key}: {len(values)}" for key, values in group.items())
            problems.append(source.problem(where, f"axes that advance together differ in length ({lengths})"))
        if not group:
            problems.append(source.problem(where, "has no axis"))
        for key, values in group.items():
            problems += _values_problems(values, source, (*where, key), distinct=False)
            if key in seen:
                problems.append(source.problem((*where, key), "is an axis already"))
            seen.add(key)
    for number, entry in enumerate(matrix.exclude):
        for key in entry:
            if key not in seen:
                problems.append(
                    source.problem(
                        ("matrix", "exclude", number, key),
                        "is no axis, so it can exclude nothing",
                        allowed=", ".join(sorted(seen)) or "no axes",
                        nearest=nearest(key, seen),
                    )
                )
    if len(set(matrix.seeds)) < len(matrix.seeds):
        problems.append(source.problem(("matrix", "seeds"), f"a seed stands twice in {matrix.seeds}"))
    return problems


def _values_problems(values: list[Any], source: Source, where: Key, distinct: bool = True) -> list[Problem]:
    if not values:
        return [source.problem(where, "has no values")]
    if distinct and len({canonical(value) for value in values}) < len(values):
        return [source.problem(where, "a value stands twice")]
    return []
