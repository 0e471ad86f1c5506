"""Options that several commands share, and what they mean. Modules are imported when they are needed."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runner.submit.selection import experiment_directory, root_directory
from runner.terminal import RUN_SYNTAX

if TYPE_CHECKING:
    from runner.commands.loading import Destination, Loaded
    from runner.rundir.layout import ExperimentDir


class Format(StrEnum):
    table = "table"
    json = "json"
    csv = "csv"


class StatusFormat(StrEnum):
    table = "table"
    json = "json"


Config = Annotated[Path, typer.Argument(help="Experiment file.", metavar="CONFIG")]
Experiment = Annotated[
    str | None, typer.Argument(help="Directory, name or config; else the last submitted.", metavar="EXPERIMENT")
]
Root = Annotated[Path | None, typer.Option("--root", help="Directory of all experiments; else RUNNER_ROOT, else runs.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override a key: --set train.epochs=5 (may be repeated).")]
Only = Annotated[
    list[str] | None, typer.Option("--only", help=f"These runs: {RUN_SYNTAX} (may be repeated).", metavar="RUN")
]
Names = Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="These runs, as --only.")]
ClusterName = Annotated[str | None, typer.Option("--cluster", help="local, or a cluster file.")]


def opened(config: Path, root: Path | None, overrides: list[str] | None) -> Loaded:
    from runner.commands.loading import load

    with collector_paused():
        return load(config, root_directory(root), overrides or [])


def opened_with_cluster(
    config: Path, root: Path | None, overrides: list[str] | None, cluster: str | None
) -> tuple[Loaded, Destination]:
    from runner.commands.loading import load_with_cluster

    with collector_paused():
        return load_with_cluster(config, root_directory(root), overrides or [], cluster)


def directory_of(experiment: str | None, root: Path | None) -> ExperimentDir:
    """The experiment that is meant; UserError where there is none."""
    return experiment_directory(experiment, root_directory(root))


@contextmanager
def collector_paused() -> Iterator[None]:
    """Without Python's cycle collector, which would walk 100,000 runs again and again; they stay to the end anyway."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
