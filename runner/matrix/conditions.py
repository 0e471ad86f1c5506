"""Random axes that not every drawn point has: a width that belongs to one kind of fusion, an axis with `when`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from runner.config.dotted import at
from runner.config.experiment import ExperimentFile, Overrides, Random
from runner.config.validation import UNKNOWN_KEY
from runner.config.yaml_source import Source
from runner.errors import Problem
from runner.matrix.points import canonical
from runner.matrix.resolution import Misfit, Resolver
from runner.matrix.sampling import draw, drawn

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
        if all(canonical(at(merged, name)) == canonical(value) for name, value in wanted.items()):
            kept[key] = point[key]
    while isinstance(resolved := resolver.resolve({**kept, seed_key: 0}), Misfit):
        problems = [problem for wrong in resolved.errors for problem in wrong.problems(source.problem)]
        lacking = {problem.key for problem in problems if problem.what == UNKNOWN_KEY} & kept.keys()
        if not lacking:
            return None
        kept = {key: value for key, value in kept.items() if key not in lacking}
    return {key: kept[key] for key in point if key in kept}
