"""Figures of the matrix: the effect of each axis, and a heat map of two."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from analysis.formatting import axis_label, shortened
from analysis.plots.figure import Plot, canvas, colour, finish, plain_log_labels
from analysis.rank.ranking import Variant
from analysis.rank.statistics import paired_t
from runner.rundir.planned import Select

MOST_AXES = 6
MOST_VALUES = 40
FEW_VALUES = 8  # more different numbers are a continuous axis, as a random search draws them
EFFECTS = (
    "Points: variants (mean over seeds). Line: mean of all variants with that value, other axes averaged over; "
    "bars: its 95 % interval, cut at the frame, in whose width the other axes count. "
    "ρ: rank correlation of a drawn axis with the metric."
)


def short_axis(name: str) -> str:
    """The last two parts of a dotted key."""
    return ".".join(name.split(".")[-2:])


def values_of(variants: Sequence[Variant], axis: str) -> list[str]:
    """The values of an axis among variants that set it: numbers by size, others in the order of the variants."""
    values = {axis_label(variant.axes[axis]): variant.axes[axis] for variant in variants if axis in variant.axes}
    if all(isinstance(value, (int, float)) for value in values.values()):
        return sorted(values, key=lambda text: float(values[text]))
    return list(values)


def is_continuous(variants: Sequence[Variant], axis: str) -> bool:
    """Whether the axis holds many different numbers, so that a value alone has no mean worth showing."""
    values = [variant.axes[axis] for variant in variants if axis in variant.axes]
    numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    return numeric and len(set(values)) > FEW_VALUES


def varied(variants: Sequence[Variant], axes: Sequence[str]) -> list[str]:
    """Axes with two or more values among the variants, and not more than a figure has room for."""
    return [axis for axis in axes if is_continuous(variants, axis) or 1 < len(values_of(variants, axis)) <= MOST_VALUES]


def axis_effects(variants: Sequence[Variant], axes: Sequence[str], select: Select) -> Plot | None:
    """The metric of every variant by the value of each axis, with the mean over all variants of that value."""
    scored = [variant for variant in variants if variant.val]
    shown = varied(scored, axes)[:MOST_AXES]
    if not shown:
        return None
    rows = -(-len(shown) // 2)
    figure, panels = canvas(columns=min(len(shown), 2), rows=rows, height=2.9 * rows)
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    for panel, axis in zip(panels, shown, strict=False):
        pairs = [(variant.axes[axis], variant.val.mean) for variant in scored if variant.val and axis in variant.axes]
        if is_continuous(scored, axis):
            rho = _draw_continuous(panel, pairs)
            panel.set_title(f"{short_axis(axis)} (ρ = {rho:+.2f})" if np.isfinite(rho) else short_axis(axis))
        else:
            _draw_values(panel, pairs, values_of(scored, axis))
            panel.set_title(short_axis(axis))
        panel.set_ylabel(select.metric)
    return finish(figure, "axes", "Effect of each axis", EFFECTS)


def _draw_values(panel: Any, pairs: Sequence[tuple[Any, float]], values: Sequence[str]) -> None:
    """Every variant above its value, and the mean of each value; `pairs`: value of the axis, metric."""
    places = [values.index(axis_label(value)) for value, _ in pairs]
    panel.scatter(places, [metric for _, metric in pairs], s=12, color=colour(0), alpha=0.5, linewidth=0)
    groups = [[metric for value, metric in pairs if axis_label(value) == label] for label in values]
    limits, means = panel.get_ylim(), [float(np.mean(group)) for group in groups]
    intervals = [paired_t(group, [0.0] * len(group)) if len(group) > 1 else None for group in groups]
    halves = [(interval.high - interval.low) / 2 if interval else 0.0 for interval in intervals]
    panel.errorbar(range(len(values)), means, halves, color=colour(1), marker="_", markersize=12, lw=1, capsize=3)
    panel.set_ylim(limits)
    crowded = len(values) > 6 or max(map(len, values)) > 12
    turned: dict[str, Any] = {"rotation": 35, "ha": "right"} if crowded else {}
    panel.set_xticks(range(len(values)), shortened(values, 16), **turned)
    panel.margins(x=0.15)


def _draw_continuous(panel: Any, pairs: Sequence[tuple[float, float]]) -> float:
    """Every variant at its place on the axis, logarithmic over more than a decade; returns the rank correlation."""
    from scipy.stats import spearmanr  # half a second, and most axes are not drawn at random

    values, metrics = zip(*pairs, strict=True)
    panel.scatter(values, metrics, s=12, color=colour(0), alpha=0.7, linewidth=0)
    if min(values) > 0 and max(values) / min(values) > 10:
        panel.set_xscale("log")
        plain_log_labels(panel.xaxis)
    return float(spearmanr(values, metrics).statistic)


def heat_map(variants: Sequence[Variant], axes: Sequence[str], select: Select) -> Plot | None:
    """The metric over the two axes that share the most variants; None where no two axes make a grid."""
    scored = [variant for variant in variants if variant.val]
    gridded = [axis for axis in varied(scored, axes) if not is_continuous(scored, axis)]
    grids = {pair: _grid(scored, *pair) for pair in combinations(gridded, 2)}
    cells = {pair: int(np.isfinite(grid).sum()) for pair, grid in grids.items()}
    pair = max(cells, key=lambda pair: cells[pair], default=None)
    if pair is None or cells[pair] < 4:
        return None
    grid, (first, second) = grids[pair], pair
    rows, columns = values_of(scored, first), values_of(scored, second)
    figure, (panel,) = canvas(width=min(8.0, 2.2 + 0.95 * len(columns)), height=1.4 + 0.42 * len(rows))
    image = panel.imshow(grid, cmap="viridis_r" if select.mode == "min" else "viridis", aspect="auto")
    panel.grid(False)
    panel.set_xticks(range(len(columns)), shortened(columns, 12))
    panel.set_yticks(range(len(rows)), shortened(rows, 20))
    panel.set(xlabel=short_axis(second), ylabel=short_axis(first))
    for (row, column), value in np.ndenumerate(grid) if grid.size <= 100 else ():
        if np.isfinite(value):
            ink = "#ffffff" if np.mean(image.to_rgba(value)[:3]) < 0.5 else "#000000"
            panel.text(column, row, f"{value:.3g}", ha="center", va="center", fontsize=7.5, color=ink)
    figure.colorbar(image, ax=panel, label=select.metric)
    caption = "Mean over seeds, and over the variants of a cell where other axes vary too. Blank: not run."
    return finish(figure, "heat_map", f"{short_axis(first)} and {short_axis(second)}", caption)


def _grid(variants: Sequence[Variant], first: str, second: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(values of first, values of second) mean metric; NaN where there is no variant."""
    rows, columns = values_of(variants, first), values_of(variants, second)
    total, count = np.zeros((2, len(rows), len(columns)))
    for variant in variants:
        if first in variant.axes and second in variant.axes and variant.val:
            place = rows.index(axis_label(variant.axes[first])), columns.index(axis_label(variant.axes[second]))
            total[place] += variant.val.mean
            count[place] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
