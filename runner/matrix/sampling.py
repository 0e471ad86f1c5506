"""Random axes: points that are drawn, each the same again for the same seed; and axes that not every point has: a width
that belongs to one kind of fusion, an axis with `when`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from runner.config.dotted import at
from runner.config.experiment import Draw, Overrides, Random
from runner.config.experiment_file import ExperimentFile
from runner.config.validation import UNKNOWN_KEY
from runner.config.yaml_source import Source
from runner.errors import Problem
from runner.matrix.resolution import Misfit, Resolver
from runner.matrix.run_id import canonical_json

PointFilter = Callable[[Overrides], Overrides | None]
_TRIES = 1000  # for a point that is not there yet


def drawn(random: Random, fit: PointFilter = dict) -> list[Overrides]:
    """`count` distinct points; fewer where the axes do not have so many.

    A value depends on the seed, its axis and the number of its point alone: a larger count, or a further axis, leaves
    what was drawn as it is. fit: what of a point holds together; None where it is to be drawn again.
    """
    points: dict[str, Overrides] = {}
    for number in range(random.count):
        tries = (fit(draw(random, number, attempt)) for attempt in range(_TRIES))
        point = next((one for one in tries if one is not None and repr(list(one.items())) not in points), None)
        if point is None:
            break
        points[repr(list(point.items()))] = point
    return list(points.values())


def draw(random: Random, number: int, attempt: int = 0) -> Overrides:
    """A value for every axis of point `number`."""
    return {key: _value(axis, _share(random.seed, key, number, attempt)) for key, axis in random.axes.items()}


def _share(*place: object) -> float:
    """A number from 0 to below 1 that belongs to `place`; the same on every machine."""
    digest = hashlib.sha256(":".join(map(str, place)).encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53)


def _value(draw: Draw, share: float) -> Any:
    if draw.choice is not None:
        return draw.choice[int(share * len(draw.choice))]
    if draw.integer is not None:
        low, high = draw.integer
        return low + int(share * (high - low + 1))
    if draw.log_uniform is not None:
        lower, upper = draw.log_uniform
        return draw.rounded(lower * (upper / lower) ** share)
    assert draw.uniform is not None  # one of the four is given
    lower, upper = draw.uniform
    return draw.rounded(lower + share * (upper - lower))


LOOKS = 300  # further draws before an axis is said to belong to none


def conditioned(
    resolver: Resolver, file: ExperimentFile, seed_key: str, proposed: Iterable[Overrides] = ()
) -> tuple[list[Overrides] | None, list[Problem]]:
    """The drawn points of a matrix without the axes that they lack, and conditions that none of them meets.

    A point that only its combination makes invalid is drawn again. Where all are invalid, or an axis is a key that no
    point has, the points come as they were drawn (None), so that the mistake is reported. proposed: further points.
    """
    random = file.experiment.matrix.random
    if random is None or "matrix" in file.spoilt:
        return None, []
    whole = partial(fit, resolver, random, seed_key, file.source)
    points = drawn(random, whole)
    used = {key for point in points for key in point}
    for number in range(random.count, random.count + LOOKS if used != random.axes.keys() else 0):
        used |= (whole(draw(random, number)) or {}).keys()
    never = [key for key in random.axes if key not in used]
    problems = [
        file.source.problem(("matrix", "random", "axes", key, "when"), "is met by no drawn point")
        for key in never
        if points and random.axes[key].when
    ]
    points += [kept for point in proposed if (kept := whole(point)) is not None]
    return None if never and not problems else points, problems


def with_first_points(file: ExperimentFile) -> ExperimentFile:
    """`file` with as many drawn points as the first round of its search has, where that proposes the others."""
    experiment, matrix = file.experiment, file.experiment.matrix
    if matrix.random is None or experiment.search is None or experiment.search.propose is None:
        return file
    random = matrix.random.model_copy(update={"count": experiment.search.propose.at_once})
    changed = matrix.model_copy(update={"random": random})
    return replace(file, experiment=experiment.model_copy(update={"matrix": changed}))


def fit(resolver: Resolver, random: Random, seed_key: str, source: Source, point: Overrides) -> Overrides | None:
    """What a point keeps of its values; None where its combination is invalid."""
    kept: Overrides = {}
    for key in sorted(point, key=lambda key: random.axes[key].when is not None):  # conditions look at the others
        merged, wanted = resolver.merged(kept), random.axes[key].when or {}
        if all(canonical_json(at(merged, name)) == canonical_json(value) for name, value in wanted.items()):
            kept[key] = point[key]
    while isinstance(resolved := resolver.resolve({**kept, seed_key: 0}), Misfit):
        problems = [problem for wrong in resolved.errors for problem in wrong.problems(source.problem)]
        lacking = {problem.key for problem in problems if problem.what == UNKNOWN_KEY} & kept.keys()
        if not lacking:
            return None
        kept = {key: value for key, value in kept.items() if key not in lacking}
    return {key: kept[key] for key in point if key in kept}
