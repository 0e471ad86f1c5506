"""`analysis weights` and `analysis scale`: how the fused layers went, from the logs alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from analysis.commands.options import DEFAULT_ROOT, Experiment, Format, FormatOption, Root
from analysis.commands.selection import variants_named
from analysis.commands.tables import write_rows
from analysis.output.fusion_table import SCALES, WEIGHTS, filled_columns, fusion_rows, thinned
from analysis.output.writing import written
from analysis.rank.curves import VariantLogs, read_logs
from analysis.rank.summary import Summary, summarize
from runner.errors import CommandFailed
from runner.submit.selection import experiment_directory

VariantOption = Annotated[
    list[str] | None,
    typer.Option("--variant", "-v", help="A variant, a run, or the start of a run's id; may be given again."),
]


def weights(
    experiment: Experiment = None,
    variant: VariantOption = None,
    root: Root = DEFAULT_ROOT,
    format: FormatOption = Format.table,
) -> None:
    """Weights and ratio of every fused layer by epoch, with its band; draws figures/weights.svg and ratio.svg."""
    summary = summarize(experiment_directory(experiment, root).path)
    logs = _logs(summary, variant or [])
    _report(summary, logs, WEIGHTS, format, "weights")
    from analysis.plots import figure, fusion

    with figure.styled():
        _draw(summary, [fusion.weights(logs), fusion.weight_ratio(logs, summary.collection.manifest.thresholds)])


def scale(
    experiment: Experiment = None,
    variant: VariantOption = None,
    root: Root = DEFAULT_ROOT,
    format: FormatOption = Format.table,
) -> None:
    """text_scale and node_scale of every fused layer by epoch; draws figures/text_scale.svg and node_scale.svg."""
    summary = summarize(experiment_directory(experiment, root).path)
    logs = _logs(summary, variant or [])
    _report(summary, logs, SCALES, format, "scales")
    from analysis.plots import figure, fusion

    with figure.styled():
        _draw(summary, [fusion.evolution(logs, name, f"{name} by epoch and layer", "") for name in SCALES])


def _logs(summary: Summary, names: Sequence[str]) -> list[VariantLogs]:
    return [read_logs(summary.collection.directory, variant) for variant in variants_named(summary, names)]


def _report(
    summary: Summary, logs: Sequence[VariantLogs], quantities: Sequence[str], format: Format, what: str
) -> None:
    rows = fusion_rows(logs, quantities, summary.collection.manifest.thresholds)
    if not filled_columns([{name: row.get(name) for name in quantities} for row in rows]):
        raise CommandFailed(f"no run of {summary.collection.manifest.experiment} has logged {what} of a fusion yet")
    write_rows(rows, filled_columns(rows), format, thinned(rows))


def _draw(summary: Summary, plots: Sequence[object]) -> None:
    from analysis.plots.figure import Plot

    directory = summary.collection.directory
    files: dict[Path, str | bytes] = {
        directory.figures / f"{plot.name}.svg": plot.svg for plot in plots if isinstance(plot, Plot)
    }
    written(files, inside=directory.path)
