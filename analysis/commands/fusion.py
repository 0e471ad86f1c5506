"""`analysis weights` and `analysis scale`: how the fused layers went, from the logs alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer

from analysis.commands.arguments import DEFAULT_ROOT, ExperimentOrRun, FormatOption, Root, is_run, variants_named
from analysis.output.writing import Format, write_rows, written
from analysis.rank.curves import VariantLogs, read_logs
from analysis.rank.summary import summarize
from analysis.task_definitions import FOLLOWED, FOLLOWED_FIGURES
from runner.errors import CommandFailed
from runner.health.fusion import band, weight_ratio
from runner.health.thresholds import Thresholds
from runner.rundir.layout import RunDir
from runner.submit.selection import experiment_directory

SHOWN = 5  # epochs of a layer in a table for people
Rows = list[dict[str, Any]]
VariantOption = Annotated[
    list[str] | None,
    typer.Option("--variant", "-v", help="A variant, a run, or the start of a run's id; may be given again."),
]


def weights(
    experiment: ExperimentOrRun = None,
    variant: VariantOption = None,
    root: Root = DEFAULT_ROOT,
    format: FormatOption = "table",
) -> None:
    """Weights and ratio of every fused layer by epoch, with its band; draws figures/weights.svg and ratio.svg."""
    _follow("weights", experiment, variant or [], root, format)


def scale(
    experiment: ExperimentOrRun = None,
    variant: VariantOption = None,
    root: Root = DEFAULT_ROOT,
    format: FormatOption = "table",
) -> None:
    """text_scale and node_scale of every fused layer by epoch; draws figures/text_scale.svg and node_scale.svg."""
    _follow("scales", experiment, variant or [], root, format)


def _follow(what: str, name: str | None, variants: Sequence[str], root: Path, format: Format) -> None:
    """List and draw the quantities that go by the name `what`; the directory of a run is that run alone.

    CommandFailed where no run has logged any.
    """
    if name is not None and is_run(run := RunDir(Path(name).resolve())):
        path, variants = run.experiment.path, [*variants, run.run_id]
    else:
        path = experiment_directory(name, root).path
    summary = summarize(path)
    directory, manifest = summary.collection.directory, summary.collection.manifest
    logs = [read_logs(directory, variant) for variant in variants_named(summary, variants)]
    rows = fusion_rows(logs, FOLLOWED[what], manifest.thresholds)
    if not any(row.get(quantity) is not None for row in rows for quantity in FOLLOWED[what]):
        raise CommandFailed(f"no run of {manifest.experiment} has logged {what} of a fusion yet")
    write_rows(rows, format, thinned(rows))
    from analysis.plots.figure import styled
    from analysis.plots.layers import layer_figure

    with styled():
        plots = [layer_figure(logs, figure, manifest.thresholds) for figure in FOLLOWED_FIGURES[what]]
    written({directory.figures / f"{plot.name}.svg": plot.svg for plot in plots if plot}, inside=directory.path)


def fusion_rows(logs: Sequence[VariantLogs], quantities: Sequence[str], thresholds: Thresholds) -> Rows:
    """One row for every variant, layer and epoch with one of the quantities: means over the seeds, and the band."""
    rows: Rows = []
    for item in logs:
        for layer in item.layers:
            by_epoch: dict[int, dict[str, Any]] = {}
            for name in quantities:
                curve = item.quantity(layer, name)
                for epoch, value in zip(curve.epochs, curve.mean, strict=True):
                    by_epoch.setdefault(epoch, dict.fromkeys(quantities))[name] = value
            for epoch, values in sorted(by_epoch.items()):
                ratio = weight_ratio(values)
                judged = {} if ratio is None else {"ratio": ratio, "band": band(ratio, thresholds)}
                rows.append({"variant": item.name, "layer": layer, "epoch": epoch, **values, **judged})
    return rows


def thinned(rows: Rows) -> Rows:
    """A few epochs of every variant and layer: the first, the last, and some between; names once."""
    kept: Rows = []
    for _, group in groupby(rows, key=lambda row: (row["variant"], row["layer"])):
        every = list(group)
        first, *few = (every[i] for i in sorted({round((len(every) - 1) * n / (SHOWN - 1)) for n in range(SHOWN)}))
        kept += [first, *({**row, "variant": "", "layer": ""} for row in few)]
    return kept
