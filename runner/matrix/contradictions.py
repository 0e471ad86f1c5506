"""What the matrix of an experiment file contradicts: its own parameters, its seeds, and --set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runner.config.dotted import at, selects_another_kind
from runner.config.experiment_file import ExperimentFile
from runner.config.yaml_source import Key
from runner.errors import Problem

_ABSENT = object()


def blocked(file: ExperimentFile, keys: list[str]) -> list[Problem]:
    """Parameters that hold a value where the matrix sets keys below: it would be dropped without a word."""
    problems: dict[Key, Problem] = {}
    for key in keys:
        parts = key.split(".")
        for length in range(1, len(parts)):
            value = at(file.experiment.params, ".".join(parts[:length]))
            if value is not None and not isinstance(value, dict):
                where = ("params", *parts[:length])
                near = f"{{name: {value}}}" if isinstance(value, str) else None
                problems.setdefault(
                    where,
                    file.source.problem(
                        where,
                        f"found {value!r}, and the matrix sets {key} below it",
                        allowed="keys with values",
                        nearest=near,
                    ),
                )
    return list(problems.values())


def seed_problems(file: ExperimentFile, seed_key: str) -> list[Problem]:
    """A seed in the parameters would be overwritten by the matrix's without a word."""
    what = "is set by `matrix: {seeds: […]}`, so it cannot be given here as well"
    matrix = file.experiment.matrix
    groups: list[tuple[Key, Any]] = [
        (("matrix", "axes"), matrix.axes),
        *((("matrix", "zip", number), group) for number, group in enumerate(matrix.zip)),
        *([(("matrix", "random", "axes"), matrix.random.axes)] if matrix.random else []),
        *((("matrix", "include", number), entry) for number, entry in enumerate(matrix.include)),
        *((("matrix", "named", name), entry) for name, entry in matrix.named.items()),
    ]
    problems = [file.source.problem((*where, seed_key), what) for where, group in groups if seed_key in group]
    if at(file.experiment.params, seed_key, _ABSENT) is not _ABSENT:
        problems.append(file.source.problem(("params", *seed_key.split(".")), what))
    return problems


def override_problems(file: ExperimentFile) -> Iterator[Problem]:
    """A parameter of --set that every point of the matrix sets again would have no effect."""
    matrix = file.experiment.matrix
    axes: dict[str, list[Any]] = {
        **matrix.axes,
        **{key: values for group in matrix.zip for key, values in group.items()},
    }
    axes |= {key: draw.choice or [None] for key, draw in matrix.random.axes.items()} if matrix.random else {}
    for place, flag in file.source.replaced.items():
        name = ".".join(str(part) for part in place[1:])
        for axis, values in axes.items() if place[0] == "params" else ():
            rest = name.removeprefix(axis).split(".")[1:]
            section = at(file.experiment.params, axis)
            if name == axis or (name.startswith(f"{axis}.") and not any(_keeps(section, v, rest) for v in values)):
                allowed = f"--set matrix.axes.{axis}=[…], or --only for some of the runs"
                yield Problem(f"{axis} is an axis of the matrix, so this has no effect", flag, allowed=allowed)


def _keeps(section: Any, value: Any, rest: list[str]) -> bool:
    """Whether what stands at `rest` of `section` stays when `value` is merged over it."""
    if not (rest and isinstance(value, dict)) or (isinstance(section, dict) and selects_another_kind(section, value)):
        return False
    return rest[0] not in value or _keeps(at(section, rest[0]), value[rest[0]], rest[1:])
