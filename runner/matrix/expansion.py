"""From an experiment file to its runs, each with resolved and checked parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from runner.config.dotted import at
from runner.config.experiment import ExperimentFile, Overrides
from runner.config.validation import UNKNOWN_KEY, Report
from runner.config.yaml_source import Key
from runner.errors import ConfigError, Problem, nearest
from runner.health.quantities import Quantity
from runner.matrix.points import Point, axis_keys, matches, points
from runner.matrix.resolution import Misfit, Resolver, selects_another_kind
from runner.matrix.run_id import BASE, axis_names, run_id, short_form, slug, value_label

MOST_MISFITS = 1000  # of 100,000 runs that are all wrong, so many are reported


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
    model: Any  # the parameters as the task's own object


@dataclass(frozen=True)
class Expansion:
    """The runs of an experiment file."""

    file: ExperimentFile
    runs: list[Run]
    axes: list[str]  # every parameter that some variant sets
    points: dict[str, Point]  # variant → where the file describes it
    seed_key: str
    baseline: str | None  # the variant that others are compared with
    shared: list[tuple[str, int, str]]  # variant and seed that mean an earlier run, and that run's id
    quantities: tuple[Quantity, ...] = ()  # that the task declares

    @property
    def variants(self) -> list[str]:
        return list(dict.fromkeys(run.variant for run in self.runs))

    def reporter(self, variant: str) -> Report:
        """Makes problems of a variant's parameters, at the place where the file sets them."""
        return _reporter(self.file, self.points[variant], self.seed_key)


@dataclass
class _Found:
    """What was resolved so far."""

    runs: dict[str, Run] = field(default_factory=dict)  # by hash
    shared: list[tuple[str, int, str]] = field(default_factory=list)
    problems: dict[Problem, None] = field(default_factory=dict)  # ordered, each once
    rests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)  # variant → what is right of its parameters
    noted: dict[int, Any] = field(default_factory=dict)  # errors whose problems were made, by id


def expand(file: ExperimentFile, schema: type[BaseModel], seed_key: str) -> Expansion:
    """Every run of `file`, checked against the task's `schema`; `seed_key` is the parameter that seeds set.

    Raises ConfigError with the mistakes of the matrix and of all runs together.
    """
    expansion, problems, _ = examine(file, schema, seed_key)
    if problems:
        raise ConfigError(problems)
    return expansion


def examine(
    file: ExperimentFile, schema: type[BaseModel], seed_key: str
) -> tuple[Expansion, list[Problem], list[tuple[str, dict[str, Any]]]]:
    """The runs that are right, the mistakes, and what can be checked further of the runs that are wrong."""
    experiment = file.experiment
    found, problems = points(experiment.matrix, file.source, complete="matrix" not in file.spoilt)
    keys = axis_keys(experiment.matrix)
    problems += _seed_problems(file, keys, seed_key) + _override_problems(file)
    if blocked := _blocked(file, keys):  # what the axes would say about the same section follows from it
        found, problems = [], problems + blocked
    labels = _labels(found, axis_names(keys))
    variants = dict(zip(labels, found, strict=True))
    resolver = Resolver(schema, experiment.task, experiment.params)
    resolved = _resolve_all(file, found, labels, resolver, seed_key)
    problems += _misspelt(file, resolver)
    problems += [*resolved.problems, *_name_problems(file, resolved)]
    baseline = None
    if not ({"matrix", "baseline"} & file.spoilt or blocked):
        baseline, more = baseline_of(file, variants)
        problems += more
    runs = list(resolved.runs.values())
    if baseline is not None:  # the variant under which its runs are listed
        same = {variant: listed for variant, _, listed in resolved.shared}
        own = {run.run_id: run.variant for run in runs}
        baseline = baseline if baseline in own.values() else own.get(same.get(baseline, ""), baseline)
    return Expansion(file, runs, keys, variants, seed_key, baseline, resolved.shared), problems, resolved.rests


def _blocked(file: ExperimentFile, keys: list[str]) -> list[Problem]:
    """Parameters that hold a value where the matrix sets keys below: it would be dropped without a word."""
    problems: dict[Key, Problem] = {}
    for key in keys:
        parts = key.split(".")
        for length in range(1, len(parts)):
            value = at(file.experiment.params, ".".join(parts[:length]))
            if value is not None and not isinstance(value, dict):
                where = ("params", *parts[:length])
                near = f"{{name: {value}}}" if isinstance(value, str) else None
                what = f"found {value!r}, and the matrix sets {key} below it"
                problems.setdefault(where, file.source.problem(where, what, allowed="keys with values", nearest=near))
    return list(problems.values())


def _labels(found: list[Point], names: dict[str, str]) -> list[str]:
    """The variant of each point; the labels of a matrix's values are made once."""
    made: dict[tuple[str, int], str] = {}

    def piece(key: str, value: Any) -> str:
        text = made.get((key, id(value)))
        if text is None:
            text = made[key, id(value)] = f"{names[key]}={value_label(value)}"
        return text

    return [
        point.name or " ".join([piece(key, value) for key, value in point.overrides.items()]) or BASE for point in found
    ]


def _resolve_all(
    file: ExperimentFile, found: list[Point], labels: list[str], resolver: Resolver, seed_key: str
) -> _Found:
    result = _Found()
    for point, variant in zip(found, labels, strict=True):
        name = slug(variant)
        for seed in file.experiment.matrix.seeds:
            resolved = resolver.resolve({**point.overrides, seed_key: seed})
            if isinstance(resolved, Misfit):
                _note_misfit(result, resolved, variant, _reporter(file, point, seed_key))
                break
            earlier = result.runs.get(resolved.digest)
            if earlier is not None:
                result.shared.append((variant, seed, earlier.run_id))
                if point.name:  # of two names for one run, one would be missing from every table
                    what = f"is the same run as {earlier.variant!r}"
                    result.problems[file.source.problem(("matrix", "named", point.name), what)] = None
                continue
            result.runs[resolved.digest] = Run(
                len(result.runs) + 1,
                run_id(name, seed, resolved.digest),
                variant,
                seed,
                point.overrides,
                resolved.params,
                resolved.digest,
                resolved.model,
            )
        if len(result.noted) >= MOST_MISFITS:
            break
    return result


def _misspelt(file: ExperimentFile, resolver: Resolver) -> list[Problem]:
    """Misspelt keys of `params`, also in a section that every variant replaces by another kind."""

    def report(key: Key, what: str, **more: Any) -> Problem:
        return file.source.problem(("params", *key), what, **more)

    found = [problem for wrong in resolver.shared_misfits() for problem in wrong.problems(report)]
    return [problem for problem in found if problem.what == UNKNOWN_KEY and problem.nearest]


def _note_misfit(result: _Found, misfit: Misfit, variant: str, report: Report) -> None:
    for wrong in misfit.errors:
        if id(wrong) not in result.noted:  # the error of a section is one object for all the runs that share it
            result.noted[id(wrong)] = wrong
            result.problems.update(dict.fromkeys(wrong.problems(report)))
    if misfit.rest is not None and len(result.rests) < MOST_MISFITS:
        result.rests.append((variant, misfit.rest))


def _reporter(file: ExperimentFile, point: Point, seed_key: str) -> Report:
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


def _seed_problems(file: ExperimentFile, keys: list[str], seed_key: str) -> list[Problem]:
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


_ABSENT = object()


def _override_problems(file: ExperimentFile) -> list[Problem]:
    """A parameter of --set that every point of the matrix sets again would have no effect."""
    matrix = file.experiment.matrix
    axes: dict[str, list[Any]] = {
        **matrix.axes,
        **{key: values for group in matrix.zip for key, values in group.items()},
    }
    axes |= {key: draw.choice or [None] for key, draw in matrix.random.axes.items()} if matrix.random else {}
    problems = []
    for place, flag in file.source.replaced.items():
        name = ".".join(str(part) for part in place[1:])
        for axis, values in axes.items() if place[0] == "params" else ():
            rest = name.removeprefix(axis).split(".")[1:]
            section = at(file.experiment.params, axis)
            if name == axis or (name.startswith(f"{axis}.") and not any(_keeps(section, v, rest) for v in values)):
                allowed = f"--set matrix.axes.{axis}=[…], or --only for some of the runs"
                problems.append(
                    Problem(f"{axis} is an axis of the matrix, so this has no effect", flag, allowed=allowed)
                )
    return problems


def _keeps(section: Any, value: Any, rest: list[str]) -> bool:
    """Whether what stands at `rest` of `section` stays when `value` is merged over it."""
    if not (rest and isinstance(value, dict)) or (isinstance(section, dict) and selects_another_kind(section, value)):
        return False
    return rest[0] not in value or _keeps(at(section, rest[0]), value[rest[0]], rest[1:])


def _name_problems(file: ExperimentFile, resolved: _Found) -> list[Problem]:
    """Names must tell runs apart: of directories, and of variants with a seed."""
    problems = []
    runs = resolved.runs.values()
    for name, count in _repeated(run.run_id for run in runs):
        problems.append(file.source.problem(("matrix",), f"{count} runs would share the directory {name}"))
    for (variant, _), count in _repeated((run.variant, run.seed) for run in runs):
        what = f"{count} different variants would be called {variant!r}; give them names of their own"
        problems.append(file.source.problem(("matrix",), what, allowed="named: {NAME: {key: value}}"))
    return problems


def _repeated(names: Iterable[Any]) -> list[tuple[Any, int]]:
    return [(name, count) for name, count in Counter(names).items() if count > 1]


def baseline_of(file: ExperimentFile, variants: dict[str, Point]) -> tuple[str | None, list[Problem]]:
    """The variant that `baseline` means."""
    wanted = file.experiment.baseline
    if wanted is None:
        return None, []
    if isinstance(wanted, str):
        chosen = [name for name, point in variants.items() if wanted in (name, short_form(point.overrides))]
    else:
        chosen = [name for name, point in variants.items() if matches(point, wanted)]
    if len(chosen) == 1:
        return chosen[0], []
    named = f" ({', '.join(chosen[:5])}{', …' if len(chosen) > 5 else ''})" if chosen else ""
    what = f"matches {len(chosen) or 'no'} variant{'s' if len(chosen) > 1 else ''}{named}; it must match exactly one"
    listed = "; ".join(list(variants)[:8]) + ("; …" if len(variants) > 8 else "")
    near = nearest(wanted, variants) if isinstance(wanted, str) else None
    return None, [file.source.problem(("baseline",), what, allowed=listed, nearest=near)]
