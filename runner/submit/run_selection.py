"""Which runs: from what people type to runs."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from runner.config.quantities import shortened
from runner.errors import Problem, UserError, nearest
from runner.matrix.expansion import Run
from runner.matrix.run_id import canonical_json, short_form, value_label
from runner.rundir.planned import PlannedRun
from runner.terminal import RUN_SYNTAX

R = TypeVar("R", Run, PlannedRun)


def choose_run(runs: Sequence[R], name: str) -> R:
    """The one run that `name` means, in the syntax of `runs_named`.

    Raises UserError naming the candidates when several or none fit.
    """
    candidates = runs_named(runs, name)
    if len(candidates) > 1:
        one_variant = candidates[0].variant == candidates[-1].variant
        seeded = f" (add a seed: {name}@{candidates[0].seed})" if one_variant and "@" not in name else ""
        listed = shortened([run.run_id for run in candidates], 8)
        raise UserError(f"{name!r} means {len(candidates)} runs: {listed}{seeded}")
    if not candidates:
        raise _no_run(runs, name)
    return candidates[0]


def filter_runs(runs: Sequence[R], names: Sequence[str]) -> list[R]:
    """The runs that any of `names` means, in their order; UserError for a name that means none, or starts several."""
    chosen: set[str] = set()
    for name in names:
        candidates = runs_named(runs, name)
        if not candidates:
            raise _no_run(runs, name)
        if len(candidates) > 1 and all(run.run_id.startswith(name) and run.variant != name for run in candidates):
            listed = shortened([run.run_id for run in candidates], 8)
            raise UserError(
                f"{name!r} is the start of {len(candidates)} runs: {listed}; write {name + '*'!r} for all of them"
            )
        chosen.update(run.run_id for run in candidates)
    return [run for run in runs if run.run_id in chosen]


def runs_named(runs: Sequence[R], name: str) -> list[R]:
    """The runs that `name` means; the first reading that fits any run holds.

    A whole id; `:3`, the row of `expand`; a variant's name; values of its axes (`2,3` or `lr=0.1 wd=0.01`); a shell
    pattern of these; the start of an id. `@1` behind it, or alone, keeps the runs with that seed.
    """
    if exact := [run for run in runs if run.run_id == name]:
        return exact
    if row := re.fullmatch(r":([0-9]+)", name):
        return [run for run in runs if run.number == int(row[1])]
    seeded = re.fullmatch(r"(.*)@([0-9]+)", name, re.DOTALL)
    if seeded:
        name = seeded[1].strip()
        runs = [run for run in runs if run.seed == int(seeded[2])]
    if not name:
        return list(runs) if seeded else []
    values = name.split()
    readings: list[Callable[[R], bool]] = [
        lambda run: name == run.variant,
        lambda run: name == short_form(run.axes),
        lambda run: all(any(_means(text, key, value) for key, value in run.axes.items()) for text in values),
        lambda run: any(fnmatch.fnmatchcase(text, name) for text in (run.run_id, run.variant, short_form(run.axes))),
        lambda run: run.run_id.startswith(name),
    ]
    return next((fitting for fits in readings if (fitting := [run for run in runs if fits(run)])), [])


def _means(text: str, axis: str, value: object) -> bool:
    """Whether `text` (`0.1`, or `lr=0.1` with the end of the axis' key) is the `value` of `axis`."""
    name, equals, written = text.rpartition("=")
    if equals and not f".{axis}".endswith(f".{name}"):
        return False
    try:
        if written in (value_label(value), canonical_json(value)):
            return True
        return not isinstance(value, bool) and isinstance(value, (int, float)) and float(written) == value
    except ValueError:
        return False


def _no_run(runs: Sequence[R], name: str) -> UserError:
    guess = nearest(name, [text for run in runs for text in (run.run_id, run.variant)])
    problem = Problem(f"no run {name!r} among {len(runs)}", allowed=RUN_SYNTAX, nearest=guess)
    return UserError(str(problem), next_command="runner expand CONFIG, which lists them")
