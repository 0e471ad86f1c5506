"""`analysis weights` and `analysis scale`: how the fused layers went, from the logs alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from analysis.commands.options import DEFAULT_ROOT, ExperimentOrRun, Format, FormatOption, Root
from analysis.commands.selection import is_run, variants_named
from analysis.commands.tables import write_rows
from analysis.output.fusion_table import filled_columns, fusion_rows, thinned
from analysis.output.writing import written
from analysis.rank.curves import VariantLogs, read_logs
from analysis.rank.summary import Summary, summarize
from analysis.task_definitions import FOLLOWED, FOLLOWED_FIGURES
from runner.errors import CommandFailed
from runner.rundir.layout import RunDir
from runner.submit.selection import experiment_directory

VariantOption = Annotated[
    list[str] | None,
    typer.Option("--variant", "-v", help="A variant, a run, or the start of a run's id; may be given again."),
]


def weights(
    experiment: ExperimentOrRun = None,
    variant: VariantOption = None,
    root: Root = DEFAULT_ROOT,
    format: FormatOption = Format.table,
) -> None:
    """Weights and ratio of every fused layer by epoch, with its band; draws figures/weights.svg and ratio.svg."""
    _follow("weights", experiment, variant or [], root, format)


def scale(
    experiment: ExperimentOrRun = None,
    variant: VariantOption = None,
    root: Root = DEFAULT_ROOT,
    format: FormatOption = Format.table,
) -> None:
    """text_scale and node_scale of every fused layer by epoch; draws figures/text_scale.svg and node_scale.svg."""
    _follow("scales", experiment, variant or [], root, format)


def _follow(what: str, experiment: str | None, variants: Sequence[str], root: Path, format: Format) -> None:
    """List and draw the quantities that go by the name `what`; CommandFailed where no run has logged any."""
    summary, logs = _read(experiment, variants, root)
    directory, manifest = summary.collection.directory, summary.collection.manifest
    rows = fusion_rows(logs, FOLLOWED[what], manifest.thresholds)
    if not any(row.get(name) is not None for row in rows for name in FOLLOWED[what]):
        raise CommandFailed(f"no run of {manifest.experiment} has logged {what} of a fusion yet")
    write_rows(rows, filled_columns(rows), format, thinned(rows))
    from analysis.plots.figure import styled
    from analysis.plots.layers import layer_figure

    with styled():
        plots = [layer_figure(logs, figure, manifest.thresholds) for figure in FOLLOWED_FIGURES[what]]
    written({directory.figures / f"{plot.name}.svg": plot.svg for plot in plots if plot}, inside=directory.path)


def _read(name: str | None, variants: Sequence[str], root: Path) -> tuple[Summary, list[VariantLogs]]:
    """The experiment that `name` means, and the logs of `variants`; the directory of a run is that run alone."""
    if name is not None and is_run(run := RunDir(Path(name).resolve())):
        summary, variants = summarize(run.experiment.path), [*variants, run.run_id]
    else:
        summary = summarize(experiment_directory(name, root).path)
    return summary, [read_logs(summary.collection.directory, one) for one in variants_named(summary, variants)]
