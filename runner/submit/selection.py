"""Which experiment: from what people type to directories."""

from __future__ import annotations

import os
from pathlib import Path

from runner.errors import CommandFailed, ConfigError, Problem, UserError, nearest
from runner.rundir.layout import ExperimentDir


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
    from runner.config import yaml_source
    from runner.config.experiment_file import read_extended

    content = read_extended(config).value if config.suffix in yaml_source.SUFFIXES else {"run_id": None}
    if "run_id" in content:
        raise UserError(
            f"{config} is no experiment file",
            next_command="the experiment's directory, its name under the root, or the .yaml file that was submitted",
        )
    name = content.get("experiment")
    if not isinstance(name, str):
        raise ConfigError([Problem(f"found {name!r}", "experiment", str(config), allowed="the name of the experiment")])
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
    from runner.config.experiment import checked_name  # schemas, which take a while to import

    try:
        checked_name(name)
    except ValueError as error:
        raise UserError(f"experiment: {error}") from None
    known = sorted(path.parent.name for path in root.glob(f"*/{ExperimentDir.manifest.name}"))
    raise UserError(
        str(
            Problem(
                f"no experiment {name!r} under {root}\n    there are: {', '.join(known) or 'none'}",
                nearest=nearest(name, known),
            )
        ),
        next_command="runner submit CONFIG",
    )


def _latest(root: Path) -> ExperimentDir:
    """The experiment that was submitted last."""
    experiments = [ExperimentDir(path.parent) for path in root.glob(f"*/{ExperimentDir.manifest.name}")]
    if not experiments:
        raise CommandFailed(
            f"no experiment under {root}: nothing was submitted there, or the root is another (--root, RUNNER_ROOT)",
            next_command="runner submit CONFIG",
        )
    logs = {each: each.submission_log if each.submission_log.is_file() else each.manifest for each in experiments}
    return max(experiments, key=lambda directory: logs[directory].stat().st_mtime)
