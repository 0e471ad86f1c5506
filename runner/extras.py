"""Packages that only some tasks and searches need, and the extra of ours that installs them."""

from __future__ import annotations

from importlib.util import find_spec

from runner.errors import CommandFailed

EXTRAS = {
    "crystal": ("torch", "jarvis", "transformers", "tensorboard", "safetensors", "vesin", "ase", "spglib"),
    "sentiment": ("torch", "tensorboard"),
    "search": ("optuna",),
}


def lacking(task: str) -> list[str]:
    """The packages of the extra `task` that are not installed; nothing is imported. Empty for a task without one."""
    return [package for package in EXTRAS.get(task, ()) if find_spec(package) is None]


def require(extra: str) -> None:
    """Raise CommandFailed, naming the extra, where a package of it is not installed."""
    if missing := lacking(extra):
        raise missing_extra(extra, missing)


def extra_of(error: ModuleNotFoundError) -> CommandFailed:
    """What to install where an import failed; raises `error` where no extra of ours holds that package."""
    package = (error.name or "").partition(".")[0]
    extra = next((extra for extra, packages in EXTRAS.items() if package in packages), None)
    if extra is None:
        raise error
    return missing_extra(extra, [package])


def missing_extra(extra: str, packages: list[str]) -> CommandFailed:
    """The message that names the packages and the command that installs them."""
    return CommandFailed(
        f"this needs {', '.join(packages)}, which array-runner installs only on request",
        next_command=f"pip install 'array-runner[{extra}]'",
    )
