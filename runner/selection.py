"""Which experiment, which run: from what people type to directories."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from runner import yaml_source
from runner.errors import CommandFailed, ConfigError, Problem, UserError, nearest
from runner.experiment import checked_name
from runner.identity import short_form
from runner.layout import ExperimentDir


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
    name = yaml_source.read(config).value.get("experiment")
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
    """The one run that `name` means: its id, the short form of its axis values (`2,3`, with a seed `2,3@1`), its
    number in `expand` (`4` or `#4`), or a unique prefix of its id.

    Raises UserError naming the candidates when several or none fit.
    """
    variant, _, seed = name.rpartition("@") if "@" in name else (name, "", "")
    tries: list[Callable[[R], bool]] = [
        lambda run: run.run_id == name,
        lambda run: variant in (run.variant, short_form(run.axes)) and seed in ("", str(run.seed)),
        lambda run: name.removeprefix("#") == str(run.number),
        lambda run: run.run_id.startswith(name),
    ]
    for fits in tries:
        found = [run for run in runs if fits(run)]
        if len(found) == 1:
            return found[0]
        if found:
            listed = ", ".join(run.run_id for run in found[:8])
            seeded = f" (add a seed: {variant}@{found[0].seed})" if found[0].variant == found[-1].variant else ""
            raise UserError(f"{name!r} means {len(found)} runs: {listed}{seeded}")
    guess = nearest(name, [run.run_id for run in runs])
    raise UserError(f"no run {name!r} among {len(runs)}" + (f"; did you mean {guess}?" if guess else ""),
                    next_command="runner expand CONFIG, which lists them")  # fmt: skip


def filter_runs(runs: Sequence[R], pattern: str) -> list[R]:
    """The runs whose id, variant or short form matches `pattern` (`*` and `?` stand for any text)."""
    found = [
        run
        for run in runs
        if any(fnmatch.fnmatchcase(text, pattern) for text in (run.run_id, run.variant, short_form(run.axes)))
    ]
    if not found:
        raise UserError(
            f"--only {pattern!r} matches none of {len(runs)} runs",
            next_command="runner expand CONFIG, which lists them",
        )
    return found
