"""Where in an experiment file a problem of one run stands."""

from __future__ import annotations

from typing import Any

from runner.config.dotted import at
from runner.config.experiment_file import ExperimentFile
from runner.config.validation import Report
from runner.config.yaml_source import Key
from runner.errors import Problem
from runner.matrix.points import Point

_ABSENT = object()


def reporter_of(file: ExperimentFile, point: Point, seed_key: str) -> Report:
    """Problems of a run stand where the file sets the parameter: at an axis, a named point, or in `params`."""
    places = sorted(zip(point.overrides.items(), point.origins, strict=True), key=lambda place: -len(place[0][0]))
    params = file.experiment.params

    def report(key: Key, what: str, **more: Any) -> Problem:
        parts = [str(part) for part in key]
        for (override, value), origin in places:
            own = override.split(".")
            rest = ".".join(parts[len(own) :])
            if rest and at(value, rest, _ABSENT) is _ABSENT and at(params, ".".join(parts), _ABSENT) is not _ABSENT:
                continue  # the value was merged into a section of `params` that has it
            if own[0] == parts[0] == "params":
                more = {"nearest": override.removeprefix("params").removeprefix(".") or None}
                where = origin[:-1] if isinstance(origin[-1], int) else origin
                return file.source.problem(where, "the matrix writes keys of params without `params.`", **more)
            if own == parts[: len(own)] or parts == own[: len(parts)]:
                problem = file.source.problem(origin, what, **more)
                return Problem(what, ".".join(parts), problem.file, problem.line, problem.allowed, problem.nearest)
        if ".".join(parts) == seed_key:
            return file.source.problem(("matrix", "seeds"), what, **more)
        return file.source.problem(("params", *key), what, **more)

    return report
