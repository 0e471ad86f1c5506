"""What an experiment meant to run: its manifest, with the rules of choosing checked, and its experiment file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from runner.config import experiment_file
from runner.config.experiment import Share
from runner.config.metric_names import named_mode
from runner.config.yaml_source import Source
from runner.errors import CommandFailed, ConfigError, Problem
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir
from runner.rundir.planned import Manifest, Select


def read_manifest(directory: ExperimentDir) -> Manifest:
    """Raises CommandFailed when there is no readable manifest, ConfigError when its choosing rules are wrong."""
    if not directory.path.is_dir():
        raise CommandFailed(f"no such experiment directory: {directory.path}")
    content = manifest.read(directory)
    last = len(content.search.values) - 1 if content.search else 0
    below = frozenset(run.run_id for run in content.runs if 0 <= run.rung < last)
    return replace(
        content,
        runs=tuple(run for run in content.runs if run.run_id not in below),
        below=below,
        select=_checked(content.select, str(directory.manifest)),
    )


def submitted_file(directory: ExperimentDir) -> Source:
    """The experiment file as it was last submitted, with its --set.

    CommandFailed where there is neither a copy of it nor the file itself.
    """
    sent = manifest.submissions(directory)
    copy = directory.experiment_copy(sent[-1].number) if sent else None
    if copy is not None and copy.is_file():
        origin = sent[-1].origin
        return experiment_file.load(copy, origin.overrides if origin else []).source
    config = Path(str(manifest.read(directory).config))
    if not config.is_file():
        raise CommandFailed(f"{directory.submissions} holds no experiment file, and {config} is not here")
    return experiment_file.load(config).source


def _checked(select: Select, file: str) -> Select:
    problems = []
    named, within = named_mode(select.metric), share(select.within)
    mode = select.mode or named or "min"
    if not select.metric.startswith("val_"):
        allowed = "a metric of the validation split: val_…; the test split never takes part in a choice"
        problems.append(Problem(f"found {select.metric!r}", "select.metric", file, allowed=allowed))
    if mode not in ("min", "max"):
        problems.append(Problem(f"found {mode!r}", "select.mode", file, allowed="min or max"))
    elif mode == "min" and named == "max":
        what = f"min of {select.metric}, which is better the larger it is: the worst variant would be taken"
        problems.append(Problem(what, "select.mode", file, allowed="max"))
    if within is None:
        problems.append(Problem(f"found {select.within!r}", "select.within", file, allowed="a share, as 5% or 0.05"))
    if problems:
        raise ConfigError(problems)
    return replace(select, mode=mode, within=within or 0.0)


def share(value: Any) -> float | None:
    """`5%` and `0.05` as 0.05, as the experiment file takes them; None for anything else."""
    try:
        return TypeAdapter(Share).validate_python(value)
    except ValidationError:
        return None
