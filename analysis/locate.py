"""Finding the experiment that a command line means: a directory, a name under the root, a config, or the newest."""

from __future__ import annotations

from pathlib import Path

import yaml

from runner.errors import CommandFailed, ConfigError, Problem, UserError, nearest
from runner.layout import ExperimentDir


def experiments(root: Path) -> list[Path]:
    """Directories below `root` that have a manifest, by name."""
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if ExperimentDir(path).manifest.is_file())


def locate(argument: str | None, root: Path) -> Path:
    """The directory of an experiment; raises UserError naming what exists when there is none."""
    if argument is None:
        return _newest(root)
    path = Path(argument)
    if path.is_file():
        return _under_root(_name_in(path), root)
    if path.is_dir() and (ExperimentDir(path).manifest.exists() or not (root / argument).is_dir()):
        return path
    return _under_root(argument, root)


def _under_root(name: str, root: Path) -> Path:
    path = root / name
    if path.is_dir():
        return path
    known = [item.name for item in experiments(root)]
    if not known:
        raise UserError(f"no experiment {name!r}: {root} holds none", next_command="runner submit CONFIG")
    message = f"no experiment {name!r} in {root}\n    there are: {', '.join(known)}"
    similar = nearest(name, known)
    raise UserError(message + (f"\n    did you mean: {similar}" if similar else ""))


def _newest(root: Path) -> Path:
    """The most recently submitted experiment."""
    found = experiments(root)
    if not found:
        raise CommandFailed(
            f"no experiment in {root}: nothing was submitted there, or the root is another (--root, RUNNER_ROOT)",
            next_command="runner submit CONFIG",
        )
    return max(found, key=_submitted)


def _submitted(path: Path) -> float:
    directory = ExperimentDir(path)
    log = directory.submission_log
    return (log if log.is_file() else directory.manifest).stat().st_mtime


def _name_in(config: Path) -> str:
    """The `experiment:` of an experiment file."""
    try:
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError([Problem(f"not a YAML file: {first}", file=str(config))]) from None
    name = content.get("experiment") if isinstance(content, dict) else None
    if not isinstance(name, str) or not name:
        problem = Problem(f"found {name!r}", "experiment", str(config), allowed="the name of the experiment")
        raise ConfigError([problem])
    return name
