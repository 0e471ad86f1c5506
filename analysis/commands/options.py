"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.output.writing import Format
from runner.terminal import RUN_SYNTAX

Experiment = Annotated[
    str | None,
    typer.Argument(
        help="A directory, a name under the root, or an experiment file; left out: the most recently submitted.",
        show_default=False,
    ),
]
ExperimentOrRun = Annotated[
    str | None,
    typer.Argument(
        help="A directory (of a run: that run alone), a name under the root, or an experiment file; "
        "left out: the most recently submitted.",
        show_default=False,
    ),
]
Root = Annotated[Path, typer.Option("--root", envvar="RUNNER_ROOT", help="Where experiments live.")]
DEFAULT_ROOT = Path("runs")


FormatOption = Annotated[Format, typer.Option("--format", help="How the result is written to stdout.")]

RUN_HELP = f"A run's directory, or {RUN_SYNTAX}."
CHECKPOINT_HELP = "Another checkpoint of the run, as `analysis rescale` writes; alone it stands for the run it lies in."
OfExperiment = Annotated[
    str | None,
    typer.Option(
        "--experiment", "-e", help="The run's experiment; left out: the most recently submitted.", show_default=False
    ),
]
