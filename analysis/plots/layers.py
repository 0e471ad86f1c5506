"""Figures of the fused layers by epoch: what a task defines as a LayerFigure, and the distribution of alpha."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.formatting import shortened
from analysis.plots.figure import (
    HEALTHY,
    Plot,
    canvas,
    colour,
    draw_curve,
    finish,
    legend_beside,
    over_epochs,
    plain_log_labels,
)
from analysis.rank.curves import Curve, VariantLogs
from analysis.task_definitions import LayerFigure
from runner.health.thresholds import Thresholds

STYLES = ("-", "--", ":", "-.")


Line = tuple[Curve, list[float], dict[str, Any]]  # with the band around it, and its look


def lines_of(logs: Sequence[VariantLogs], quantity: str, spread: str = "") -> list[Line]:
    """A line for every variant and layer that logged `quantity`; its band: the quantity `spread`, or sd of seeds.

    One colour for each variant, one dash for each layer.
    """
    lines: list[Line] = []
    for position, item in enumerate(logs):
        for number, layer in enumerate(item.layers):
            if (curve := item.quantity(layer, quantity)).epochs:
                look = {
                    "label": _label(item, layer),
                    "color": colour(position),
                    "linestyle": STYLES[number % len(STYLES)],
                }
                lines.append((curve, item.quantity(layer, spread).mean if spread else curve.sd, look))
    return lines


def layer_name(layer: str) -> str:
    return f"layer {layer}" if layer.isdigit() else layer


def _label(item: VariantLogs, layer: str) -> str:
    return f"{shortened([item.name], 24)[0]} · {layer_name(layer)}"


def layer_figure(logs: Sequence[VariantLogs], what: LayerFigure, thresholds: Thresholds) -> Plot | None:
    """What was logged of its quantities, side by side; None where nothing was."""
    panels = [(panel, lines) for panel in what.panels if (lines := lines_of(logs, panel.quantity, panel.spread))]
    if not panels:
        return None
    several = len(panels) > 1
    figure, axes = canvas(columns=len(panels), height=3.2 if several else 3.7, width=max(8.0, 3.2 * len(panels)))
    low = high = None
    for place, (panel, lines) in zip(axes, panels, strict=True):
        low, high = panel.band(thresholds)
        if low is not None and high is not None:
            place.axhspan(low, high, color=HEALTHY, alpha=0.1, linewidth=0)
        for curve, band, look in lines:
            draw_curve(place, curve, band, **look)
        over_epochs(place)
        if what.log and all(min(curve.mean) > 0 for curve, *_ in lines):
            place.set_yscale("log")
            plain_log_labels(place.yaxis)
        if what.from_0_to_1:
            place.set_ylim(0, 1)
        (place.set_title if several else place.set_ylabel)(panel.label or panel.quantity)
    legend_beside(axes[-1], max(len(lines) for _, lines in panels) + 1)
    return finish(figure, what.name, what.title, what.caption.format(low=low, high=high))


def alpha_histograms(logs: Sequence[VariantLogs]) -> Plot | None:
    """Distribution of alpha in the last epoch, where `gate_histogram`, counts over equal bins of 0 to 1, is logged."""
    shares: dict[str, np.ndarray] = {}
    for item in logs:
        for layer in item.layers:
            counts = [values for values in item.latest(layer, "gate_histogram") if isinstance(values, list) and values]
            same = [np.array(values, dtype=float) for values in counts if len(values) == len(counts[0])]
            total = np.sum(same, axis=0)
            if np.sum(total) > 0:
                shares[_label(item, layer)] = total / total.sum()
    if not shares:
        return None
    figure, (axes,) = canvas()
    for position, (label, of_bins) in enumerate(shares.items()):
        axes.stairs(of_bins, np.linspace(0, 1, len(of_bins) + 1), color=colour(position), label=label, linewidth=1.6)
    axes.set(xlabel="alpha", ylabel="share", xlim=(0, 1))
    legend_beside(axes, len(shares) + 1)
    return finish(figure, "alpha", "Distribution of alpha", "Last epoch, all seeds together.")
