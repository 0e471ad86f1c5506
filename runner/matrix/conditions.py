"""Random axes that not every drawn point has: a width that belongs to one kind of fusion, an axis with `when`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runner.config.experiment import ExperimentFile, Overrides, Random
from runner.config.validation import UNKNOWN_KEY
from runner.config.yaml_source import Key, dotted
from runner.errors import Problem
from runner.matrix.points import canonical
from runner.matrix.resolution import Misfit, Resolver, at
from runner.matrix.sampling import draw, drawn

LOOKS = 300  # further draws before an axis is said to belong to none


def conditioned(
    resolver: Resolver, file: ExperimentFile, seed_key: str
) -> tuple[list[Overrides] | None, list[Problem]]:
    """The drawn points of a matrix without the axes that they lack, and conditions that none of them meets.

    A point that only its combination makes invalid is drawn again. Where all are invalid, or an axis is a key that no
    point has, the points come as they were drawn, so that the mistake is reported.
    """
    random = file.experiment.matrix.random
    if random is None or "matrix" in file.spoilt:
        return None, []

    def fit(point: Overrides) -> Overrides | None:
        return _fit(resolver, random, seed_key, point)

    points = drawn(random, fit)
    used = {key for point in points for key in point}
    further = iter(range(random.count, random.count + LOOKS))
    while used != random.axes.keys() and (number := next(further, None)) is not None:
        used |= (fit(draw(random, number)) or {}).keys()
    never = [key for key in random.axes if key not in used]
    unmet = [key for key in never if points and random.axes[key].when]
    where: Key = ("matrix", "random", "axes")
    problems = [file.source.problem((*where, key, "when"), "is met by no drawn point") for key in unmet]
    return None if never and not unmet else points, problems


def _fit(resolver: Resolver, random: Random, seed_key: str, point: Overrides) -> Overrides | None:
    """What a drawn point keeps; None where its combination is invalid."""
    kept: Overrides = {}
    for key in sorted(point, key=lambda key: random.axes[key].when is not None):  # conditions look at the others
        merged = resolver.merged(kept)
        wanted = random.axes[key].when or {}
        if all(canonical(at(merged, name)) == canonical(value) for name, value in wanted.items()):
            kept[key] = point[key]
    while isinstance(resolved := resolver.resolve({**kept, seed_key: 0}), Misfit):
        lacking = kept.keys() & set(_unknown(resolved))
        if not lacking:
            return None
        kept = {key: value for key, value in kept.items() if key not in lacking}
    return {key: kept[key] for key in point if key in kept}


def _unknown(misfit: Misfit) -> Iterator[str]:
    """The keys that the parameters lack."""

    def report(key: Key, what: str, **_: Any) -> Problem:
        return Problem(what, dotted(key))

    for wrong in misfit.errors:
        yield from (str(problem.key) for problem in wrong.problems(report) if problem.what == UNKNOWN_KEY)
