"""From an experiment file to its runs, each with resolved and checked parameters.

A matrix of 100,000 runs varies few sections a time, so each distinct section is merged, checked and hashed once.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from runner.errors import ConfigError, Problem, nearest
from runner.experiment import ExperimentFile, Overrides
from runner.identity import axis_names, canonical_json, digest, identity, run_id, short_form, variant_label
from runner.matrix import Point, axis_keys, matches, points
from runner.validation import Report
from runner.validation import problems as validation_problems
from runner.yaml_source import Key

MOST_PROBLEMS = 50


@dataclass(frozen=True, slots=True)
class Run:
    """One resolved configuration: a variant with a seed."""

    number: int  # counted from 1, in the order of `expand`
    run_id: str
    variant: str
    seed: int
    axes: Overrides
    params: dict[str, Any]
    digest: str


@dataclass(frozen=True)
class Expansion:
    """The runs of an experiment file."""

    file: ExperimentFile
    runs: list[Run]
    axes: list[str]  # every parameter that some variant sets
    points: dict[str, Point]  # variant → where the file describes it
    seed_key: str
    baseline: str | None  # the variant that others are compared with
    left_out: int  # points that describe the same run as an earlier one

    @property
    def variants(self) -> list[str]:
        return list(dict.fromkeys(run.variant for run in self.runs))

    def reporter(self, variant: str) -> Report:
        """Makes problems of a variant's parameters, at the place where the file sets them."""
        return _reporter(self.file, self.points[variant], self.seed_key)


@dataclass(frozen=True)
class _Section:
    model: Any  # the checked section
    dumped: Any
    text: str  # canonical JSON of what takes part in the identity


class _Resolver:
    """Merges, checks and hashes parameters; equal sections once."""

    def __init__(self, schema: type[BaseModel], task: str, base: dict[str, Any]) -> None:
        self.schema, self.task, self.base = schema, task, base
        self.adapters = {
            name: TypeAdapter(field.annotation)
            for name, field in schema.model_fields.items()
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        }
        self.names = sorted(schema.model_fields)
        self.sections: dict[Any, _Section] = {}

    def merged(self, overrides: Overrides) -> dict[str, Any]:
        """The shared parameters with `overrides` set; shorter keys first, so that longer ones refine them."""
        value = self.base
        for key in sorted(overrides, key=lambda k: k.count(".")):
            value = _with(value, key.split("."), overrides[key])
        return value

    def resolve(self, overrides: Overrides) -> tuple[dict[str, Any], str]:
        """The checked parameters and their hash; raises ValidationError of the whole schema."""
        by_section: dict[str, Overrides] = {}
        for key, value in overrides.items():
            by_section.setdefault(key.partition(".")[0], {})[key] = value
        if any(name not in self.schema.model_fields for name in (*by_section, *self.base)):
            self.schema.model_validate(self.merged(overrides))  # raises: a key that the schema does not have
        try:
            given = {
                name: self._section(name, by_section.get(name, {}))
                for name in self.schema.model_fields
                if name in by_section or name in self.base
            }
            params = self.schema.model_validate(
                {k: v.model if isinstance(v, _Section) else v for k, v in given.items()}
            )
        except ValidationError:
            params = self.schema.model_validate(self.merged(overrides))  # raises, with the whole path of each key
        dumped, texts = {}, []
        skipped = without_effect() if (without_effect := getattr(params, "without_effect", None)) else ()
        for name in self.names:
            section = given.get(name)
            if not isinstance(section, _Section):
                section = self._plain(name, getattr(params, name), default=name not in given)
            dumped[name] = section.dumped
            if name not in skipped:
                texts.append((name, section.text))
        return dumped, digest(self.task, texts)

    def _section(self, name: str, overrides: Overrides) -> Any:
        if name not in self.adapters:
            return self.merged(overrides)[name]
        key = (name, *((k, _token(v)) for k, v in overrides.items()))
        if key not in self.sections:
            model = self.adapters[name].validate_python(self.merged(overrides).get(name, {}))
            self.sections[key] = _section_of(model)
        return self.sections[key]

    def _plain(self, name: str, value: Any, default: bool) -> _Section:
        if not default:
            return _section_of(value)
        if name not in self.sections:
            self.sections[name] = _section_of(value)
        return self.sections[name]


def _section_of(value: Any) -> _Section:
    return _Section(value, to_jsonable_python(value), canonical_json(identity(value)))


def _token(value: Any) -> Any:
    """Stands for an axis value in a cache key; lists and mappings belong to the file and live as long as the cache."""
    return (type(value), value) if isinstance(value, (bool, int, float, str)) or value is None else id(value)


def _with(value: Any, parts: list[str], new: Any) -> Any:
    """A copy of `value` with `new` at the path `parts`; what is not on the path is shared."""
    if not parts:
        return new
    inner = value if isinstance(value, dict) else {}
    return {**inner, parts[0]: _with(inner.get(parts[0]), parts[1:], new)}


def expand(file: ExperimentFile, schema: type[BaseModel], seed_key: str) -> Expansion:
    """Every run of `file`, checked against the task's `schema`; `seed_key` is the parameter that seeds set.

    Raises ConfigError with the mistakes of the matrix and of all runs together.
    """
    experiment, source = file.experiment, file.source
    found, problems = points(experiment.matrix, source)
    if problems:
        raise ConfigError(problems)
    keys = axis_keys(experiment.matrix)
    names = axis_names(keys)
    resolver = _Resolver(schema, experiment.task, experiment.params)
    with _collector_paused():
        runs, left_out, problems = _resolve_all(file, found, names, resolver, seed_key)
    if not problems:
        problems += _identity_problems(list(runs.values()), file)
    if problems:
        raise ConfigError(problems)
    by_variant = {point.name or variant_label(point.overrides, names): point for point in found}
    return Expansion(file, list(runs.values()), keys, by_variant, seed_key, _baseline(file, by_variant), left_out)


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Without Python's cycle collector, which would walk the growing list of runs again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _resolve_all(
    file: ExperimentFile, found: list[Point], names: dict[str, str], resolver: _Resolver, seed_key: str
) -> tuple[dict[str, Run], int, list[Problem]]:
    """The distinct runs by hash, how many points described a run again, and the mistakes."""
    runs: dict[str, Run] = {}
    problems: list[Problem] = []
    left_out = 0
    for point in found:
        variant = point.name or variant_label(point.overrides, names)
        for seed in file.experiment.matrix.seeds:
            try:
                params, run_digest = resolver.resolve({**point.overrides, seed_key: seed})
            except ValidationError as error:
                problems += validation_problems(resolver.schema, error, _reporter(file, point, seed_key))
                break
            if run_digest in runs:
                left_out += 1
                if point.name:  # of two names for one run, one would be missing from every table
                    same = f"is the same run as {runs[run_digest].variant!r}"
                    problems.append(file.source.problem(("matrix", "named", point.name), same))
                continue
            name = run_id(variant, seed, run_digest)
            runs[run_digest] = Run(len(runs) + 1, name, variant, seed, point.overrides, params, run_digest)
        if len(set(problems)) >= MOST_PROBLEMS:
            break
    return runs, left_out, problems


def _reporter(file: ExperimentFile, point: Point, seed_key: str) -> Report:
    """Problems of a run stand where the file sets the parameter: at an axis, a named point, or in `params`."""

    def report(key: Key, what: str, **more: Any) -> Problem:
        parts = [str(part) for part in key]
        for override, origin in sorted(point.origins.items(), key=lambda item: -len(item[0])):
            own = override.split(".")
            if own == parts[: len(own)] or parts == own[: len(parts)]:
                problem = file.source.problem(origin, what, **more)
                return Problem(what, ".".join(parts), problem.file, problem.line, problem.allowed, problem.nearest)
        if ".".join(parts) == seed_key:
            return file.source.problem(("matrix", "seeds"), what, **more)
        return file.source.problem(("params", *key), what, **more)

    return report


def _identity_problems(runs: list[Run], file: ExperimentFile) -> list[Problem]:
    seen: dict[str, str] = {}
    problems = []
    for run in runs:
        if seen.setdefault(run.run_id, run.digest) != run.digest:
            problems.append(file.source.problem(("matrix",), f"two runs would share the directory {run.run_id}"))
    return problems


def _baseline(file: ExperimentFile, variants: dict[str, Point]) -> str | None:
    wanted = file.experiment.baseline
    if wanted is None:
        return None
    if isinstance(wanted, str):
        chosen = [name for name, point in variants.items() if wanted in (name, short_form(point.overrides))]
    else:
        chosen = [name for name, point in variants.items() if matches(point, wanted)]
    if len(chosen) == 1:
        return chosen[0]
    named = f" ({', '.join(chosen[:5])})" if chosen else ""
    what = f"matches {len(chosen)} variants{named}; it must match exactly one"
    near = nearest(wanted, variants) if isinstance(wanted, str) else None
    raise ConfigError([file.source.problem(("baseline",), what, allowed="; ".join(list(variants)[:12]), nearest=near)])
