"""Which experiment, which run: from what people type to directories."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from runner.config import yaml_source
from runner.config.experiment import checked_name
from runner.config.extends import read_extended
from runner.errors import CommandFailed, ConfigError, Problem, UserError, nearest
from runner.matrix.points import canonical
from runner.matrix.run_id import short_form, value_label
from runner.rundir.layout import ExperimentDir
from runner.terminal import RUN_SYNTAX


def root_directory(given: Path | None) -> Path:
    """The directory of all experiments: --root, else RUNNER_ROOT, else runs/ here."""
    return given or Path(os.environ.get("RUNNER_ROOT") or "runs")


def experiment_directory(name: str | None, root: Path) -> ExperimentDir:
    """The experiment that is meant: a directory, a name under the root, a config file, or the last one submitted.

    Raises UserError, naming what exists, when there is none.
    """
    if name is None:
        return _latest(root)
    path = Path(name)
    if os.path.isfile(path):
        return _under_root(_name_in(path), root)
    return ExperimentDir(path) if os.path.isfile(ExperimentDir(path).manifest) else _under_root(name, root)


def _name_in(config: Path) -> str:
    """The name in an experiment file; other files of an experiment's directory hold such a key too."""
    content = read_extended(config).value if config.suffix in yaml_source.SUFFIXES else {"run_id": None}
    if "run_id" in content:
        raise UserError(
            f"{config} is no experiment file",
            next_command="the experiment's directory, its name under the root, or the .yaml file that was submitted",
        )
    name = content.get("experiment")
    if not isinstance(name, str):
        problem = Problem(f"found {name!r}", "experiment", str(config), allowed="the name of the experiment")
        raise ConfigError([problem])
    return name


def _under_root(name: str, root: Path) -> ExperimentDir:
    directory = ExperimentDir(root / name)
    if os.path.isfile(directory.manifest):  # a copy may have been given any name
        return directory
    for path in (directory.path, Path(name)):
        if os.path.isdir(path):
            raise CommandFailed(
                f"{path} has no manifest.json: not the directory of an experiment, or nothing was submitted",
                next_command="runner submit CONFIG",
            )
    if os.sep in name:
        raise UserError(f"{name}: no such experiment directory or file", next_command="runner submit CONFIG")
    try:
        checked_name(name)
    except ValueError as error:
        raise UserError(f"experiment: {error}") from None
    known = sorted(path.parent.name for path in root.glob("*/manifest.json"))
    guess = nearest(name, known)
    raise UserError(
        f"no experiment {name!r} under {root}\n    there are: {', '.join(known) or 'none'}"
        + (f"\n    did you mean: {guess}" if guess else ""),
        next_command="runner submit CONFIG",
    )


def _latest(root: Path) -> ExperimentDir:
    """The experiment that was submitted last."""
    found = [ExperimentDir(path.parent) for path in root.glob("*/manifest.json")]
    if not found:
        raise CommandFailed(
            f"no experiment under {root}: nothing was submitted there, or the root is another (--root, RUNNER_ROOT)",
            next_command="runner submit CONFIG",
        )
    return max(found, key=_submitted)


def _submitted(directory: ExperimentDir) -> float:
    log = directory.submission_log
    return (log if log.is_file() else directory.manifest).stat().st_mtime


class Named(Protocol):
    """What a run must tell to be chosen by name; both planned and expanded runs do."""

    @property
    def number(self) -> int: ...
    @property
    def run_id(self) -> str: ...
    @property
    def variant(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def axes(self) -> dict[str, object]: ...


R = TypeVar("R", bound=Named)


def choose_run(runs: Sequence[R], name: str) -> R:
    """The one run that `name` means, in the syntax of `runs_named`.

    Raises UserError naming the candidates when several or none fit.
    """
    found = runs_named(runs, name)
    if len(found) > 1:
        listed = ", ".join(run.run_id for run in found[:8]) + (", …" if len(found) > 8 else "")
        one_variant = found[0].variant == found[-1].variant
        seeded = f" (add a seed: {name}@{found[0].seed})" if one_variant and "@" not in name else ""
        raise UserError(f"{name!r} means {len(found)} runs: {listed}{seeded}")
    if not found:
        raise _no_run(runs, name)
    return found[0]


def filter_runs(runs: Sequence[R], names: Sequence[str]) -> list[R]:
    """The runs that any of `names` means, in their order; UserError for a name that means none, or starts several."""
    chosen: set[str] = set()
    for name in names:
        found = runs_named(runs, name)
        if not found:
            raise _no_run(runs, name)
        if len(found) > 1 and all(_starts(run, name) for run in found):
            listed = ", ".join(run.run_id for run in found[:8])
            raise UserError(
                f"{name!r} is the start of {len(found)} runs: {listed}; write {name + '*'!r} for all of them"
            )
        chosen.update(run.run_id for run in found)
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
        lambda run: name in (run.variant, short_form(run.axes)),
        lambda run: all(any(_means(text, key, value) for key, value in run.axes.items()) for text in values),
        lambda run: any(fnmatch.fnmatchcase(text, name) for text in (run.run_id, run.variant, short_form(run.axes))),
        lambda run: _starts(run, name),
    ]
    return next((found for fits in readings if (found := [run for run in runs if fits(run)])), [])


def _means(text: str, axis: str, value: object) -> bool:
    """Whether `text` (`0.1`, or `lr=0.1` with the end of the axis' key) is the `value` of `axis`."""
    name, equals, written = text.rpartition("=")
    if equals and not f".{axis}".endswith(f".{name}"):
        return False
    if written in (value_label(value), canonical(value)):
        return True
    try:
        return not isinstance(value, bool) and isinstance(value, (int, float)) and float(written) == value
    except ValueError:
        return False


def _starts(run: Named, name: str) -> bool:
    return run.run_id.startswith(name)


def _no_run(runs: Sequence[Named], name: str) -> UserError:
    guess = nearest(name, [text for run in runs for text in (run.run_id, run.variant)])
    what = f"no run {name!r} among {len(runs)}" + (f"; did you mean {guess}?" if guess else "")
    return UserError(f"{what}\n    allowed: {RUN_SYNTAX}", next_command="runner expand CONFIG, which lists them")
