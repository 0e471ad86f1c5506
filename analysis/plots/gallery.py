"""All figures of an experiment that its logs allow."""

from __future__ import annotations

from itertools import accumulate

from analysis.collect.predictions import Predictions, joined, read_predictions
from analysis.plots import axes, training
from analysis.plots.figure import Plot, styled
from analysis.plots.layers import alpha_histograms, layer_figure
from analysis.rank.curves import VariantLogs, read_logs
from analysis.rank.ranking import Variant
from analysis.rank.summary import Summary
from analysis.task_definitions import FIGURES, declared_figures

MOST_CURVES = 8  # variants with a line of their own
MOST_LAYERS = 8  # lines of fused layers


def gallery(summary: Summary) -> list[Plot]:
    """Figures in the order of the report; those without data are left out."""
    with styled():
        return [plot for plot in _plots(summary) if plot is not None]


def _plots(summary: Summary) -> list[Plot | None]:
    manifest = summary.collection.manifest
    select, thresholds = manifest.select, manifest.thresholds
    directory = summary.collection.directory
    logs = [read_logs(directory, variant) for variant in shown_variants(summary)]
    fused = _few_layers(logs)
    planned = {run.plan.variant: number for number, run in reversed(list(enumerate(summary.collection.runs)))}
    in_order = sorted(summary.variants, key=lambda variant: planned[variant.name])
    chosen = summary.variant(summary.choice.variant) if summary.choice else None
    return [
        training.errors_by_variant(summary.variants, select, chosen.name if chosen else None),
        training.learning_curves(logs, select),
        axes.axis_effects(in_order, manifest.axes, select),
        axes.heat_map(in_order, manifest.axes, select),
        training.accuracy_and_cost(summary.variants, select),
        training.parity(chosen_predictions(summary, chosen), chosen.name) if chosen else None,
        *(layer_figure(fused, what, thresholds) for what in (*declared_figures(thresholds), *FIGURES)),
        alpha_histograms(fused),
    ]


def shown_variants(summary: Summary) -> list[Variant]:
    """The chosen variant, the baseline, then the best ranked: those that get a line of their own."""
    first = (summary.choice and summary.choice.variant, summary.collection.manifest.baseline)
    return sorted(summary.variants, key=lambda each: first.index(each.name) if each.name in first else 2)[:MOST_CURVES]


def _few_layers(logs: list[VariantLogs]) -> list[VariantLogs]:
    """The first variants whose fused layers together are few enough for one figure; at least one."""
    fused = [item for item in logs if item.layers]
    counts = accumulate(len(item.layers) for item in fused)
    return [item for item, count in zip(fused, counts, strict=True) if count <= MOST_LAYERS] or fused[:1]


def chosen_predictions(summary: Summary, variant: Variant) -> dict[str, Predictions]:
    """Split → predictions of all seeds of a variant."""
    paths = [summary.collection.directory.run(run.run_id).predictions for run in variant.scored]
    return {split: joined([read_predictions(path, split) for path in paths]) for split in ("val", "test")}
