"""From an experiment file to its runs, each with resolved and checked parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from runner.config.dotted import at
from runner.config.experiment import Overrides
from runner.config.experiment_file import ExperimentFile
from runner.config.quantities import shortened
from runner.config.validation import UNKNOWN_KEY, Report
from runner.config.yaml_source import Key
from runner.errors import Mistakes, Problem, nearest
from runner.health.quantities import Quantity
from runner.matrix.contradictions import blocked, override_problems, seed_problems
from runner.matrix.ladder import BudgetedPoint, ladder, search_problems, stable_part
from runner.matrix.points import Point, axis_keys, matches, points
from runner.matrix.reporting import reporter_of
from runner.matrix.resolution import Misfit, Resolver
from runner.matrix.run_id import BASE, axis_names, run_id, short_form, slug, value_label
from runner.matrix.sampling import conditioned, with_first_points
from runner.rundir.ledger import Round, SearchPlan
from runner.search.rounds import rounds

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
    point: str = ""  # the variant without the budget of a search
    rung: int = 0  # place of its budget in `search.rungs.values`


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
    schema: type[BaseModel] = BaseModel  # of the task's parameters

    def with_proposed(self, points: Iterable[Overrides]) -> Expansion:
        """The same with the `points` that a search has proposed; runs that were there keep their names."""
        wider, _, _ = examine(self.file, self.schema, self.seed_key, points)
        known = {run.digest: run.run_id for run in self.runs}
        runs = [replace(run, run_id=known.get(run.digest, run.run_id)) for run in wider.runs]
        return replace(wider, file=self.file, runs=runs, quantities=self.quantities)

    @property
    def variants(self) -> list[str]:
        return list(dict.fromkeys(run.variant for run in self.runs))

    @cached_property
    def search(self) -> SearchPlan | None:
        """The rounds of the search; None without one."""
        search, seeds = self.file.experiment.search, len(self.file.experiment.matrix.seeds)
        if search is None:
            return None
        budget = {"key": search.rungs.key, "values": search.rungs.values} if search.rungs else {}
        stable = min((stable_part(self.file, run.params) for run in self.runs), default=0.0)
        return SearchPlan(rounds=rounds(search, seeds), seeds=seeds, stable=stable, **budget)

    @property
    def first_round(self) -> list[Run]:
        """The runs that are sent first: all of them without a search."""
        points = list(dict.fromkeys(run.point for run in self.runs))
        return self.of_round(self.search.rounds[0], points) if self.search else self.runs

    def of_round(self, step: Round, points: Iterable[str]) -> list[Run]:
        """What `points` have run at the end of a round."""
        seeds = self.file.experiment.matrix.seeds[: step.seeds]
        return [self.by_place[point, step.rung, seed] for point in points for seed in seeds]

    @cached_property
    def by_place(self) -> dict[tuple[str, int, int], Run]:
        """Point, rung and seed → the run."""
        return {(run.point, run.rung, run.seed): run for run in self.runs}

    def of_search(self, run: Run) -> dict[str, Any]:
        """What config.yaml of a run says of its rungs: the run below it from which it may begin, and whether one above
        it may begin from this one."""
        if not stable_part(self.file, run.params):
            return {}
        below, above = (self.by_place.get((run.point, run.rung + step, run.seed)) for step in (-1, 1))
        return {"below": below.run_id if below else None, "keep_stable": above is not None}

    def reporter(self, variant: str) -> Report:
        """Makes problems of a variant's parameters, at the place where the file sets them."""
        return reporter_of(self.file, self.points[variant], self.seed_key)


@dataclass
class _ExpandedRuns:
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
    Mistakes(problems).refuse()
    return expansion


def examine(
    file: ExperimentFile, schema: type[BaseModel], seed_key: str, proposed: Iterable[Overrides] = ()
) -> tuple[Expansion, list[Problem], list[tuple[str, dict[str, Any]]]]:
    """The runs that are right, the mistakes, and what can be checked further of the runs that are wrong.

    proposed: points that the search of the file has added to those that are drawn.
    """
    file = with_first_points(file)
    experiment = file.experiment
    resolver = Resolver(schema, experiment.task, experiment.params)
    drawn, unmet = conditioned(resolver, file, seed_key, proposed)
    drawn_points, problems = points(experiment.matrix, file.source, complete="matrix" not in file.spoilt, random=drawn)
    problems += [*unmet, *seed_problems(file, seed_key), *override_problems(file)]
    keys = axis_keys(experiment.matrix)
    if hidden := blocked(file, keys):  # what the axes would say about the same section follows from it
        drawn_points, problems = [], problems + hidden
    places = ladder(file, list(zip(_labels(drawn_points, axis_names(keys)), drawn_points, strict=True)))
    variants = {place.variant: place.point for place in places}
    resolved = _resolve_all(file, places, resolver, seed_key)
    problems += search_problems(file, schema, keys, seed_key)
    problems += _patience_problems(file, resolved.runs.values(), variants, seed_key)
    problems += dict.fromkeys([*_misspelt(file, resolver), *resolved.problems, *_name_problems(file, resolved)])
    baseline = None
    if not ({"matrix", "baseline"} & file.spoilt or hidden):
        top = max((place.rung for place in places), default=0)
        baseline, more = baseline_of(file, {place.variant: place.point for place in places if place.rung == top})
        problems += more
    runs = list(resolved.runs.values())
    if baseline is not None:  # the variant under which its runs are listed
        same = {variant: listed for variant, _, listed in resolved.shared}
        own = {run.run_id: run.variant for run in runs}
        baseline = baseline if baseline in own.values() else own.get(same.get(baseline, ""), baseline)
    expansion = Expansion(file, runs, keys, variants, seed_key, baseline, resolved.shared, schema=schema)
    return expansion, problems, resolved.rests


def _labels(points: list[Point], names: dict[str, str]) -> list[str]:
    """The variant of each point; the labels of a matrix's values are made once."""
    made: dict[tuple[str, int], str] = {}

    def piece(key: str, value: Any) -> str:
        if (key, id(value)) not in made:
            made[key, id(value)] = f"{names[key]}={value_label(value)}"
        return made[key, id(value)]

    return [
        point.name or " ".join([piece(key, value) for key, value in point.overrides.items()]) or BASE
        for point in points
    ]


def _resolve_all(file: ExperimentFile, places: list[BudgetedPoint], resolver: Resolver, seed_key: str) -> _ExpandedRuns:
    result = _ExpandedRuns()
    for place in places:
        point, variant, name = place.point, place.variant, slug(place.variant)
        for seed in file.experiment.matrix.seeds[: place.seeds]:
            resolved = resolver.resolve({**point.overrides, seed_key: seed})
            if isinstance(resolved, Misfit):
                _note_misfit(result, resolved, variant, reporter_of(file, point, seed_key))
                break
            if (earlier := result.runs.get(resolved.digest)) is None:
                result.runs[resolved.digest] = Run(
                    len(result.runs) + 1,
                    run_id(name, seed, resolved.digest),
                    variant,
                    seed,
                    place.axes,
                    resolved.params,
                    resolved.digest,
                    resolved.model,
                    place.name,
                    place.rung,
                )
            else:
                result.shared.append((variant, seed, earlier.run_id))
                if point.name:  # of two names for one run, one would be missing from every table
                    result.problems[
                        file.source.problem(("matrix", "named", point.name), f"is the same run as {earlier.variant!r}")
                    ] = None
        if len(result.noted) >= MOST_MISFITS:
            break
    return result


def _misspelt(file: ExperimentFile, resolver: Resolver) -> list[Problem]:
    """Misspelt keys of `params`, also in a section that every variant replaces by another kind."""

    def report(key: Key, what: str, **more: Any) -> Problem:
        return file.source.problem(("params", *key), what, **more)

    wrong_keys = [problem for wrong in resolver.shared_misfits() for problem in wrong.problems(report)]
    return [problem for problem in wrong_keys if problem.what == UNKNOWN_KEY and problem.nearest]


def _note_misfit(result: _ExpandedRuns, misfit: Misfit, variant: str, report: Report) -> None:
    for wrong in misfit.errors:
        if id(wrong) not in result.noted:  # the error of a section is one object for all the runs that share it
            result.noted[id(wrong)] = wrong
            result.problems.update(dict.fromkeys(wrong.problems(report)))
    if misfit.rest is not None and len(result.rests) < MOST_MISFITS:
        result.rests.append((variant, misfit.rest))


def _name_problems(file: ExperimentFile, resolved: _ExpandedRuns) -> Iterator[Problem]:
    """Names must tell runs apart: of directories, and of variants with a seed."""
    runs = resolved.runs.values()
    for name, count in _repeated(run.run_id for run in runs):
        yield file.source.problem(("matrix",), f"{count} runs would share the directory {name}")
    for (variant, _), count in _repeated((run.variant, run.seed) for run in runs):
        yield file.source.problem(
            ("matrix",),
            f"{count} different variants would be called {variant!r}; give them names of their own",
            allowed="named: {NAME: {key: value}}",
        )


def _patience_problems(
    file: ExperimentFile, runs: Iterable[Run], variants: dict[str, Point], seed_key: str
) -> list[Problem]:
    """A run that stops early has not had its budget, so rungs would compare unequal runs."""
    if file.experiment.search is None or file.experiment.search.rungs is None:
        return []
    what, allowed = "is not compatible with rungs: every run has its whole budget", "null, or a search without rungs"
    impatient = {run.variant for run in runs if at(run.params, "train.patience") is not None}
    reports = [reporter_of(file, point, seed_key) for variant, point in variants.items() if variant in impatient]
    return list(dict.fromkeys(report(("train", "patience"), what, allowed=allowed) for report in reports))


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
    named = f" ({shortened(chosen, 5)})" if chosen else ""
    what = f"matches {len(chosen) or 'no'} variant{'s' if len(chosen) > 1 else ''}{named}; it must match exactly one"
    near = nearest(wanted, variants) if isinstance(wanted, str) else None
    return None, [file.source.problem(("baseline",), what, allowed=shortened(list(variants), 8, "; "), nearest=near)]
