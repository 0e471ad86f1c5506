"""An experiment file as read, with the file that it `extends` and with `--set`: where its keys stand, its mistakes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from runner.config.dotted import merge, with_value
from runner.config.experiment import Experiment
from runner.config.validation import problems
from runner.config.yaml_output import dump
from runner.config.yaml_source import Source, dotted, parse, read
from runner.errors import ConfigError, Mistakes, Problem
from runner.masking import MASK, is_secret


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


EXAMPLE = "--set train.epochs=5"


def override(source: Source, text: str, top_level: Collection[str]) -> None:
    """Set a key of `source` as `text` says; a key that is not one of `top_level` stands below `params`.

    Raises ConfigError when `text` is not key=value, or goes through something that holds no keys.
    """
    name, separator, written = text.partition("=")
    flag = f"--set {text}"
    if not separator or not name.strip():
        raise ConfigError([Problem("is not key=value", flag, allowed=EXAMPLE)])
    parts = name.strip().split(".")
    if parts[0] not in top_level:
        parts = ["params", *parts]
    for axes in (["matrix", "axes"], ["matrix", "random", "axes"]):
        if parts[: len(axes)] == axes and len(parts) > len(axes):
            parts = [*axes, ".".join(parts[len(axes) :])]  # the keys of axes are dotted themselves
    if is_secret(parts[-1], written.strip()):
        problem = Problem(
            "the value looks like a token or a password, and would stand in many files of the experiment",
            f"--set {name}={MASK}",
            allowed=f"export {parts[-1].upper()}=…, or `environment` in a cluster file that only you can read",
        )
        raise ConfigError([problem])
    value = _value(written, flag)
    section: Any = source.value
    for depth, part in enumerate(parts[:-1], 1):
        section = section.get(part) or {}  # an empty section
        if not isinstance(section, dict):
            raise ConfigError(
                [
                    Problem(
                        f"{dotted(tuple(parts[:depth]))} holds {section!r}, so no key below it can be set",
                        flag,
                    )
                ]
            )
    source.value.update(with_value(source.value, parts, value))
    source.replaced[tuple(parts)] = flag


def _value(written: str, flag: str) -> Any:
    try:
        values = parse(f"value: {written}", Path(flag)).value
    except ConfigError as error:
        raise ConfigError([Problem(problem.what, flag) for problem in error.problems]) from None
    if len(values) > 1:
        raise ConfigError(
            [
                Problem(
                    f"gives {', '.join(list(values)[1:])} on further lines; one --set sets one key",
                    flag,
                    allowed="--set a=1 --set b=2",
                )
            ]
        )
    return values["value"]


def read_extended(path: Path, *, strict: bool = True, users: tuple[Path, ...] = ()) -> Source:
    """The file `path` merged over the one that its `extends` names, which may extend another one.

    The text of the result needs no other file. users: the files that extend this one. Raises ConfigError, UserError.
    """
    source = read(path, strict=strict)
    name = source.value.get("extends")
    if name is None:
        return source
    below = path.parent / str(name)
    if not isinstance(name, str) or not below.is_file():
        raise ConfigError(
            [
                source.problem(
                    ("extends",),
                    f"found {name!r}; there is no such file beside {path}",
                    allowed="the path of an experiment file, from here",
                )
            ]
        )
    if below.resolve() in (chain := (*users, path.resolve())):
        listed = " → ".join(one.name for one in (*chain, below))
        raise ConfigError([source.problem(("extends",), f"files extend each other without end: {listed}")])
    base = read_extended(below, strict=strict, users=chain)
    value = merge(base.value, {key: item for key, item in source.value.items() if key != "extends"})
    return replace(source, value=value, text=dump(value), base=base, mistakes=[*source.mistakes, *base.mistakes])
