"""`analysis alpha RUN`: every gate of every atom to CSV, a summary, and figures for a paper. Opens a checkpoint."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from analysis.commands.arguments import (
    CHECKPOINT_HELP,
    DEFAULT_ROOT,
    RUN_HELP,
    FormatOption,
    OfExperiment,
    Root,
    run_and_checkpoint,
    thresholds_of,
)
from analysis.output.writing import kept_inside, stdout_console, write_rows, written
from runner.errors import CommandFailed, UserError
from runner.files import replacing
from runner.health.fusion import alpha_findings, gate_findings
from runner.health.quantities import LATE
from runner.health.settings import settings_of
from runner.rundir.cache_root import cache_root
from runner.terminal import tell

if TYPE_CHECKING:
    from jobs.tasks.crystal.tools.alpha import LayerAlpha

LOGGED = {  # name by which a run logs a quantity → its name in a row
    "gate_mean": "mean", "gate_std": "sd", "gate_min": "min", "gate_max": "max",
    "gate_share_below_0.1": "below_0.1", "gate_share_above_0.9": "above_0.9",
}  # fmt: skip
COLUMNS = ("material_id", "layer", "atom", "channel", "alpha")


def command(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help=f"{RUN_HELP} Or its checkpoint.", show_default=False)
    ] = None,
    experiment: OfExperiment = None,
    split: Annotated[Literal["val", "train"], typer.Option(help="Whose crystals.")] = "val",
    samples: Annotated[int, typer.Option(min=1, help="Crystals, evenly spread over the split.")] = 100,
    checkpoint: Annotated[Path | None, typer.Option(help=CHECKPOINT_HELP)] = None,
    root: Root = DEFAULT_ROOT,
    format: FormatOption = "table",
) -> None:
    """Alpha of each atom and channel, or else gates or w_text of a fusion. Writes to analysis/ of the run."""
    if run is None and checkpoint is None:
        raise UserError("name a run, or a checkpoint", next_command="runner status, which lists the runs")
    directory, checkpoint = run_and_checkpoint(run, checkpoint, experiment, root)
    from jobs.tasks.crystal.tools.alpha import alpha
    from jobs.tasks.crystal.tools.load_run import params_of

    layers = alpha(directory, cache_root(), split, samples, tell, checkpoint)
    rows = [summary_row(gates) for gates in layers]
    write_rows(rows, format)
    if format == "table":
        thresholds, console = thresholds_of(directory), stdout_console()
        params = params_of(directory).model_dump(mode="json")
        for row in rows:
            logged, settings = {name: row[of_row] for name, of_row in LOGGED.items()}, settings_of(params, row["layer"])
            for finding in (gate_findings if row["layer"] == LATE else alpha_findings)(logged, thresholds, settings):
                console.print(f"layer {finding.layer}: {finding.message}", soft_wrap=True)
                if finding.advice:
                    console.print(f"  next: {finding.advice}", soft_wrap=True)
    _save_csv(kept_inside(directory.of_checkpoint(directory.alpha, checkpoint), directory.path), layers)
    from analysis.plots.alpha import files

    figures = files({gates.layer: gates.values for gates in layers})
    written(
        {directory.of_checkpoint(directory.figure(name), checkpoint): content for name, content in figures.items()},
        inside=directory.path,
    )


def summary_row(gates: LayerAlpha) -> dict[str, Any]:
    """sd, range and shares over the atoms, each by the mean of its channels, as health judges; and sd over all."""
    atoms, every = gates.values.mean(1, dtype=float), gates.values
    return {
        "layer": gates.layer,
        "atoms" if gates.layer != LATE else "crystals": len(atoms),
        "channels": every.shape[1],
        "mean": float(atoms.mean()),
        "sd": float(atoms.std()),
        "min": float(atoms.min()),
        "max": float(atoms.max()),
        "range": float(atoms.max() - atoms.min()),
        "below_0.1": float((atoms < 0.1).mean()),
        "0.3_to_0.7": float(((atoms >= 0.3) & (atoms <= 0.7)).mean()),
        "above_0.9": float((atoms > 0.9).mean()),
        "sd_all": float(every.std(dtype=float)),
    }


def _save_csv(path: Path, layers: list[LayerAlpha]) -> None:
    try:
        with replacing(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for gates in layers:
                writer.writerows(gates.lines())
    except OSError as error:
        raise CommandFailed(f"cannot write {path}: {error.strerror}") from None
    tell(f"wrote {path}")
