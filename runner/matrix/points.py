"""From the matrix of an experiment file to its points: axes × zip × random, then exclude, include, named."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.config.experiment import Matrix, Overrides
from runner.config.yaml_source import Key, Source
from runner.errors import Problem, nearest
from runner.matrix.run_id import canonical_json
from runner.matrix.sampling import drawn

MOST_RUNS = 1_000_000


@dataclass(frozen=True, slots=True)
class Point:
    """One variant: the parameters it sets and where the file says so."""

    overrides: Overrides
    origins: tuple[Key, ...] = field(repr=False)  # the places of the overridden keys in the file, in their order
    name: str | None = None  # of a named point


@dataclass(frozen=True)
class _Dimension:
    """An axis, or a group of axes that advance together: each step sets the keys to new values."""

    keys: tuple[str, ...]
    steps: Sequence[tuple[Overrides, tuple[Key, ...]]]

    def positions(self, wanted: Overrides) -> set[int]:
        """The steps that agree with `wanted` in this dimension's keys."""
        own = {key: canonical_json(value) for key, value in wanted.items() if key in self.keys}
        return {
            at
            for at, (step, _) in enumerate(self.steps)
            if all(k in step and canonical_json(step[k]) == v for k, v in own.items())
        }


def points(
    matrix: Matrix, source: Source, *, complete: bool = True, random: list[Overrides] | None = None
) -> tuple[list[Point], list[Problem]]:
    """Every point of `matrix` in a fixed order, and the mistakes in the matrix itself.

    random: what was drawn, where that has to fit conditions. complete: False when parts of the matrix are wrong and
    missing; then nothing is said about what they may explain.
    """
    if random is None:
        random = drawn(matrix.random) if matrix.random else []
    dimensions = _dimensions(matrix, random)
    problems = list(_axes_problems(matrix, source, len(random)))
    if twice := [seed for seed, count in Counter(matrix.seeds).items() if count > 1]:
        problems.append(source.problem(("matrix", "seeds"), f"the seed {twice[0]} stands twice"))
    runs = math.prod(len(dimension.steps) for dimension in dimensions) * len(matrix.seeds)
    if runs > MOST_RUNS:
        too_many = source.problem(("matrix",), f"describes {runs:,} runs", allowed=f"{MOST_RUNS:,} at most")
        return [], [*problems, too_many]
    excluded, more = _excluded(matrix, dimensions, source)
    variants = [
        *_product(matrix, dimensions, excluded),
        *(Point(own, tuple(("matrix", "include", at, key) for key in own)) for at, own in enumerate(matrix.include)),
        *(Point(own, tuple(("matrix", "named", at, key) for key in own), at) for at, own in matrix.named.items()),
    ]
    problems += more if complete else []
    if complete and not variants and not problems:
        problems.append(source.problem(("matrix",), "describes no variant: exclude removes every point"))
    return variants, problems


def _dimensions(matrix: Matrix, random: list[Overrides]) -> list[_Dimension]:
    """The dimensions that have steps; a key that is an axis twice counts once (both mistakes are reported)."""
    dimensions = [
        _Dimension((key,), [({key: value}, (("matrix", "axes", key, at),)) for at, value in enumerate(values)])
        for key, values in matrix.axes.items()
    ]
    seen = set(matrix.axes)
    for number, group in enumerate(matrix.zip):
        keys = tuple(key for key in group if key not in seen)
        seen.update(keys)
        steps = [
            (dict(zip(keys, values, strict=True)), tuple(("matrix", "zip", number, key, at) for key in keys))
            for at, values in enumerate(zip(*(group[key] for key in keys), strict=False))  # unequal: reported
        ]
        dimensions.append(_Dimension(keys, steps))
    if matrix.random is not None:
        keys = tuple(key for key in matrix.random.axes if key not in seen)
        values = [{key: point[key] for key in keys if key in point} for point in random]
        where: Key = ("matrix", "random", "axes")
        dimensions.append(_Dimension(keys, [(step, tuple((*where, key) for key in step)) for step in values]))
    return [dimension for dimension in dimensions if dimension.steps]


def _product(matrix: Matrix, dimensions: list[_Dimension], excluded: list[dict[int, set[int]]]) -> Iterator[Point]:
    if not dimensions and (matrix.include or matrix.named):
        return  # only hand-picked points: the shared parameters alone are no variant
    for position in itertools.product(*(range(len(dimension.steps)) for dimension in dimensions)):
        if any(all(position[d] in steps for d, steps in entry.items()) for entry in excluded):
            continue
        overrides: Overrides = {}
        origins: tuple[Key, ...] = ()
        for dimension, at in zip(dimensions, position, strict=True):
            step, places = dimension.steps[at]
            overrides |= step
            origins += places
        yield Point(overrides, origins)


def _excluded(
    matrix: Matrix, dimensions: list[_Dimension], source: Source
) -> tuple[list[dict[int, set[int]]], list[Problem]]:
    """For each entry of `exclude` the steps it matches in each dimension, and the mistakes in the entries."""
    known = list(dict.fromkeys(key for dimension in dimensions for key in dimension.keys))
    entries, problems = [], []
    for number, wanted in enumerate(matrix.exclude):
        where: Key = ("matrix", "exclude", number)
        strange = [key for key in wanted if key not in known]
        what, axes = "is no axis, so it can exclude nothing", ", ".join(known) or "no axes"
        problems += [source.problem((*where, key), what, allowed=axes, nearest=nearest(key, known)) for key in strange]
        if not wanted:
            problems.append(source.problem(where, "is empty, so it would exclude every point"))
        entry = {
            d: dimension.positions(wanted)
            for d, dimension in enumerate(dimensions)
            if not set(dimension.keys).isdisjoint(wanted)
        }
        if wanted and not strange:
            if not all(entry.values()):
                what = f"matches no point ({canonical_json(wanted)}), so it excludes nothing"
                problems.append(source.problem(where, what, allowed="values that stand in the axes"))
            entries.append(entry)
    return entries, problems


def axis_keys(matrix: Matrix) -> list[str]:
    """Every parameter that some point sets, in the order of the file."""
    random = matrix.random.axes if matrix.random else {}
    groups: list[Iterable[str]] = [matrix.axes, *matrix.zip, random, *matrix.include, *matrix.named.values()]
    return list(dict.fromkeys(key for group in groups for key in group))


def matches(point: Point, wanted: Overrides) -> bool:
    """Whether `point` sets every key of `wanted` to the value given there."""
    return all(
        key in point.overrides and canonical_json(point.overrides[key]) == canonical_json(value)
        for key, value in wanted.items()
    )


def _axes_problems(matrix: Matrix, source: Source, drawn_points: int) -> Iterator[Problem]:
    for key, values in matrix.axes.items():
        yield from _values_problems(values, source, ("matrix", "axes", key))
    seen = set(matrix.axes)
    for number, group in enumerate(matrix.zip):
        where: Key = ("matrix", "zip", number)
        if len({len(values) for values in group.values()}) > 1:
            lengths = ", ".join(f"{key}: {len(values)}" for key, values in group.items())
            yield source.problem(where, f"axes that advance together differ in length ({lengths})")
        if not group:
            yield source.problem(where, "has no axis")
        for key, values in group.items():
            yield from _values_problems(values, source, (*where, key), distinct=False)
            if key in seen:
                yield source.problem((*where, key), "is an axis already")
            seen.add(key)
    yield from _random_problems(matrix, source, seen, drawn_points)
    yield from _overlaps(matrix, source)


def _overlaps(matrix: Matrix, source: Source) -> list[Problem]:
    """Axes below other axes: the name of a variant would say what the longer key has changed again."""
    random = matrix.random.axes if matrix.random else {}
    groups: list[tuple[Key, Iterable[str]]] = [
        (("matrix", "axes"), matrix.axes),
        *((("matrix", "zip", number), group) for number, group in enumerate(matrix.zip)),
        (("matrix", "random", "axes"), random),
    ]
    places = {key: (*where, key) for where, group in groups for key in group}
    return [
        source.problem(
            where,
            f"lies below the axis {above}, so the two would set the same section",
            allowed=f"{key[len(above) + 1 :]} in each mapping of {above}, or {above}.name as an axis instead of it",
        )
        for key, where in places.items()
        for above in places
        if key.startswith(f"{above}.")
    ]


def _random_problems(matrix: Matrix, source: Source, seen: set[str], points: int) -> Iterator[Problem]:
    for key in matrix.random.axes if matrix.random else ():
        if key in seen:
            yield source.problem(("matrix", "random", "axes", key), "is an axis already")
    if matrix.random and points < matrix.random.count:
        yield source.problem(
            ("matrix", "random", "count"),
            f"asks for {matrix.random.count} points, but the axes have only {points} that differ",
            allowed=f"1 to {points}",
        )


def _values_problems(values: list[Any], source: Source, where: Key, distinct: bool = True) -> Iterator[Problem]:
    if not values:
        yield source.problem(where, "has no values")
    texts = [canonical_json(value) for value in values] if distinct else []
    first = {text: at for at, text in reversed(list(enumerate(texts)))}
    twice = next((at for at, text in enumerate(texts) if first[text] != at), None)
    if twice is not None:
        yield source.problem((*where, twice), f"the value {texts[twice]} stands twice")
