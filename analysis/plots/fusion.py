"""Figures of the fusion: weights, ratio, scale, gates, alpha."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from analysis.plots.figure import (
    HEALTHY,
    Plot,
    canvas,
    colour,
    finish,
    legend_beside,
    over_epochs,
    plain_log_labels,
    shortened,
)
from analysis.rank.curves import Curve, VariantLogs
from runner.health.thresholds import Thresholds

STYLES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Line:
    """A curve of one layer of one variant: a colour a variant, a dash a layer."""

    label: str
    curve: Curve
    colour: str
    style: str


def lines_of(logs: Sequence[VariantLogs], quantity: str) -> list[Line]:
    """A line for every variant and layer that logged `quantity`."""
    found = []
    for position, item in enumerate(logs):
        (name,) = shortened([item.name], 24)
        for number, layer in enumerate(item.layers):
            curve = item.quantity(layer, quantity)
            if curve.epochs:
                label = f"{name} · {layer_name(layer)}"
                found.append(Line(label, curve, colour(position), STYLES[number % len(STYLES)]))
    return found


def layer_name(layer: str) -> str:
    return f"layer {layer}" if layer.isdigit() else layer


def draw(axes: Axes, lines: Sequence[Line], spreads: Mapping[str, Curve] | None = None) -> None:
    """The lines, each with a band: the sd over seeds, or that of `spreads` by label."""
    for line in lines:
        curve = line.curve
        axes.plot(curve.epochs, curve.mean, color=line.colour, linestyle=line.style, label=line.label)
        spread = curve.sd if spreads is None else spreads[line.label].mean if line.label in spreads else []
        if any(spread) and len(spread) == len(curve.mean):
            mean, sd = np.array(curve.mean), np.array(spread)
            axes.fill_between(curve.epochs, mean - sd, mean + sd, color=line.colour, alpha=0.15, linewidth=0)
    over_epochs(axes)


def weight_ratio(logs: Sequence[VariantLogs], t: Thresholds) -> Plot | None:
    """The ratio by epoch and layer, with the healthy band."""
    lines = lines_of(logs, "ratio")
    if not lines:
        return None
    figure, (axes,) = canvas()
    axes.axhspan(t.ratio_low, t.ratio_high, color=HEALTHY, alpha=0.12, linewidth=0)
    draw(axes, lines)
    if all(min(line.curve.mean) > 0 for line in lines):
        axes.set_yscale("log")
        plain_log_labels(axes.yaxis)
    axes.set_ylabel("(1 + w_graph) / w_text")
    legend_beside(axes, len(lines) + 1)
    caption = (
        f"Shaded: healthy, {t.ratio_low:g} to {t.ratio_high:g}. Above, the text is ignored; below, it weighs too much."
    )
    return finish(figure, "ratio", "Weight ratio by epoch and layer", caption)


def weights(logs: Sequence[VariantLogs]) -> Plot | None:
    """w_graph and w_text by epoch, a panel a quantity."""
    graph, text = lines_of(logs, "w_graph"), lines_of(logs, "w_text")
    if not graph or not text:
        return None
    figure, panels = canvas(columns=2, height=3.2, width=8.6)
    for axes, lines, name in zip(panels, (graph, text), ("w_graph", "w_text"), strict=True):
        draw(axes, lines)
        axes.set(title=name, ylim=(0, 1))
    legend_beside(panels[-1], len(text) + 1)
    return finish(
        figure, "weights", "Fusion weights by epoch and layer", "Mean over atoms and seeds; band: sd of seeds."
    )


def evolution(logs: Sequence[VariantLogs], quantity: str, title: str, caption: str) -> Plot | None:
    """One quantity by epoch and layer."""
    lines = lines_of(logs, quantity)
    if not lines:
        return None
    figure, (axes,) = canvas()
    draw(axes, lines)
    axes.set_ylabel(quantity)
    legend_beside(axes, len(lines) + 1)
    return finish(figure, quantity, title, caption)


def gates(logs: Sequence[VariantLogs], t: Thresholds) -> Plot | None:
    """Mean gate by epoch; band: its sd over atoms or crystals."""
    lines = lines_of(logs, "gate_mean")
    if not lines:
        return None
    figure, (axes,) = canvas()
    axes.axhspan(t.gate_suppressed, t.gate_saturated, color=HEALTHY, alpha=0.10, linewidth=0)
    draw(axes, lines, {line.label: line.curve for line in lines_of(logs, "gate_std")})
    axes.set(ylabel="gate", ylim=(0, 1))
    legend_beside(axes, len(lines) + 1)
    caption = f"Mean; band: sd over atoms or items. Shaded: {t.gate_suppressed:g} to {t.gate_saturated:g}."
    return finish(figure, "gates", "Gates by epoch and layer", caption)


def alpha_histograms(logs: Sequence[VariantLogs]) -> Plot | None:
    """Distribution of alpha in the last epoch, where `gate_histogram`, counts over equal bins of 0 to 1, is logged."""
    found: list[tuple[str, np.ndarray]] = []
    for item in logs:
        for layer in item.layers:
            counts = [values for values in item.latest(layer, "gate_histogram") if isinstance(values, list) and values]
            same = [np.array(values, dtype=float) for values in counts if len(values) == len(counts[0])]
            if same and sum(same).sum() > 0:  # type: ignore[union-attr]
                total = np.sum(same, axis=0)
                (name,) = shortened([item.name], 24)
                found.append((f"{name} · {layer_name(layer)}", total / total.sum()))
    if not found:
        return None
    figure, (axes,) = canvas()
    for position, (label, shares) in enumerate(found):
        axes.stairs(shares, np.linspace(0, 1, len(shares) + 1), color=colour(position), label=label, linewidth=1.6)
    axes.set(xlabel="alpha", ylabel="share", xlim=(0, 1))
    legend_beside(axes, len(found) + 1)
    return finish(figure, "alpha", "Distribution of alpha", "Last epoch, all seeds together.")
