"""An experiment file that was read: what it says, where its keys stand, and its mistakes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from runner.config.experiment import Experiment
from runner.config.overrides import override, read_extended
from runner.config.validation import problems
from runner.config.yaml_source import Source, dotted
from runner.errors import Mistakes, Problem


@dataclass(frozen=True)
class ExperimentFile:
    """An experiment file and where its keys stand."""

    source: Source
    experiment: Experiment
    mistakes: tuple[Problem, ...] = ()
    spoilt: frozenset[str] = frozenset()  # top-level keys that hold mistakes and were left out of `experiment`

    @property
    def path(self) -> Path:
        return self.source.path


def load(path: Path, overrides: list[str] | None = None) -> ExperimentFile:
    """Read and check the experiment file `path`; `overrides` are `key=value` texts whose keys start at the top level
    or below `params`.

    Raises ConfigError with every mistake of the file, UserError when it is missing.
    """
    file = examine(path, overrides)
    Mistakes(list(file.mistakes)).refuse()
    return file


def examine(path: Path, overrides: list[str] | None = None) -> ExperimentFile:
    """As `load`, but mistakes that leave something to check further are returned with what is right."""
    source = read_extended(path, strict=False)
    mistakes = Mistakes(list(source.mistakes))
    for text in overrides or []:
        with mistakes.gathered():
            override(source, text, Experiment.model_fields)
    value, spoilt = source.value, set()
    left_out: set[str] = set()  # what is said about a section that lacks them follows from that
    while True:
        try:
            experiment = Experiment.model_validate(value)
        except ValidationError as error:
            reported = {problem.key for problem in source.mistakes}
            mistakes.problems += [
                problem
                for problem in problems(Experiment, error, source.problem)
                if problem.key not in reported and not any(f"{key}.".startswith(f"{problem.key}.") for key in left_out)
            ]
            wrong = {_innermost(value, details["loc"]) for details in error.errors(include_url=False)}
            spoilt |= {str(path[0]) for path in wrong}
            left_out |= {dotted(path) for path in wrong}
            for place in wrong:
                value = _without(value, place)
            value = {"experiment": "unnamed"} | value
        else:
            return ExperimentFile(source, experiment, tuple(mistakes.problems), frozenset(spoilt))


def _innermost(value: Any, location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """How far mappings go along the path `location`, at least one key."""
    length = 0
    while length < len(location) and isinstance(value, dict) and location[length] in value:
        value = value[location[length]]
        length += 1
    return location[: max(1, length)]


def _without(value: dict[str, Any], path: tuple[int | str, ...]) -> dict[str, Any]:
    """A copy of `value` that lacks what stands at `path`."""
    name, rest = str(path[0]), path[1:]
    if rest and name in value:
        return {**value, name: _without(value[name], rest)}
    return {key: item for key, item in value.items() if key != name}
