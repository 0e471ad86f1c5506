"""`analysis rescale CHECKPOINT --factor X --to NEW`: a copy of a checkpoint with its text made larger or smaller."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from runner.errors import CommandFailed
from runner.terminal import tell


def command(
    source: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="best.pt or last.pt of a run.")],
    factor: Annotated[float, typer.Option(help="What text_scale, or else the last text projection, is multiplied by.")],
    to: Annotated[Path, typer.Option(help="The new checkpoint; it must not exist.")],
) -> None:
    """Multiply the text of a trained model; see the effect with `analysis diagnose RUN --checkpoint NEW`."""
    from jobs.tasks.crystal.tools.rescaling import rescale  # torch: only here and only now

    try:
        names = rescale(source, factor, to)
    except OSError as error:
        raise CommandFailed(f"cannot write {to}: {error.strerror}") from None
    tell(f"multiplied by {factor:g}: {', '.join(names)}")
    sys.stdout.write(f"{to}\n")
