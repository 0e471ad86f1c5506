"""All figures of an experiment that its logs allow."""

from __future__ import annotations

from analysis.collect.predictions import Predictions, read_predictions
from analysis.plots import axes, declared, fusion, training
from analysis.plots.figure import Plot, styled
from analysis.rank.curves import VariantLogs, read_logs
from analysis.rank.ranking import Variant
from analysis.rank.summary import Summary

MOST_CURVES = 8  # variants with a line of their own
MOST_LAYERS = 8  # lines of fused layers


def gallery(summary: Summary) -> list[Plot]:
    """Figures in the order of the report; those without data are left out."""
    with styled():
        return [plot for plot in _plots(summary) if plot is not None]


def _plots(summary: Summary) -> list[Plot | None]:
    manifest = summary.collection.manifest
    select, t = manifest.select, manifest.thresholds
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
        *declared.declared(fused, t),
        fusion.weight_ratio(fused, t),
        fusion.weights(fused),
        fusion.evolution(
            fused, "contribution_ratio", "Contributions by epoch and layer", "mean‖graph term‖ / mean‖text term‖."
        ),
        fusion.evolution(fused, "text_scale", "Text scale by epoch and layer", "The factor on the projected text."),
        fusion.gates(fused, t),
        fusion.alpha_histograms(fused),
    ]


def shown_variants(summary: Summary) -> list[Variant]:
    """The chosen variant, the baseline, then the best ranked: those that get a line of their own."""
    names = [summary.choice.variant] if summary.choice else []
    baseline = summary.collection.manifest.baseline
    names += [variant.name for variant in summary.variants if variant.name == baseline]
    names += [variant.name for variant in summary.variants]
    return [summary.variant(name) for name in list(dict.fromkeys(names))[:MOST_CURVES]]


def _few_layers(logs: list[VariantLogs]) -> list[VariantLogs]:
    """The first variants whose fused layers together are few enough for one figure; at least one."""
    kept: list[VariantLogs] = []
    count = 0
    for item in logs:
        count += len(item.layers)
        if item.layers and (count <= MOST_LAYERS or not kept):
            kept.append(item)
    return kept


def chosen_predictions(summary: Summary, variant: Variant) -> dict[str, Predictions]:
    """Split → predictions of all seeds of a variant."""
    found = {}
    for split in ("val", "test"):
        together = Predictions([], [], [])
        for run in variant.scored:
            part = read_predictions(summary.collection.directory.run(run.run_id).predictions, split)
            together.ids.extend(part.ids)
            together.targets.extend(part.targets)
            together.predictions.extend(part.predictions)
        found[split] = together
    return found
