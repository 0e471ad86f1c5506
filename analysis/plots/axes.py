"""Figures of the matrix: the effect of each axis, and a heat map of two."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from analysis.collect.manifest import Select
from analysis.formatting import axis_label
from analysis.plots.figure import Plot, canvas, colour, finish, plain_log_labels, shortened
from analysis.rank.ranking import Variant

MOST_AXES = 6
MOST_VALUES = 40
FEW_VALUES = 8  # more different numbers are a continuous axis, as a random search draws them


def short_axis(name: str) -> str:
    """The last two parts of a dotted key."""
    return ".".join(name.split(".")[-2:])


def values_of(variants: Sequence[Variant], axis: str) -> list[str]:
    """The values of an axis among variants that set it: numbers by size, others in the order of the variants."""
    found = {axis_label(variant.axes[axis]): variant.axes[axis] for variant in variants if axis in variant.axes}
    if all(isinstance(value, (int, float)) for value in found.values()):
        return sorted(found, key=lambda text: float(found[text]))
    return list(found)


def is_continuous(variants: Sequence[Variant], axis: str) -> bool:
    """Whether the axis holds many different numbers, so that a value alone has no mean worth showing."""
    values = {variant.axes[axis] for variant in variants if axis in variant.axes and is_number(variant.axes[axis])}
    return len(values) > FEW_VALUES and len(values) == len(values_of(variants, axis))


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def varied(variants: Sequence[Variant], axes: Sequence[str]) -> list[str]:
    """Axes with two or more values among the variants, and not more than a figure has room for."""
    return [axis for axis in axes if is_continuous(variants, axis) or 1 < len(values_of(variants, axis)) <= MOST_VALUES]


def axis_effects(variants: Sequence[Variant], axes: Sequence[str], select: Select) -> Plot | None:
    """The metric of every variant by the value of each axis, with the mean over all variants of that value."""
    scored = [variant for variant in variants if variant.val]
    shown = varied(scored, axes)[:MOST_AXES]
    if not shown:
        return None
    columns = min(len(shown), 2)
    rows = -(-len(shown) // columns)
    figure, panels = canvas(columns=columns, rows=rows, height=2.9 * rows)
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    for panel, axis in zip(panels, shown, strict=False):
        if is_continuous(scored, axis):
            _draw_continuous(panel, scored, axis, select)
            continue
        values = values_of(scored, axis)
        means = []
        for position, value in enumerate(values):
            found = [v.val.mean for v in scored if v.val and axis in v.axes and axis_label(v.axes[axis]) == value]
            panel.scatter([position] * len(found), found, s=12, color=colour(0), alpha=0.5, linewidth=0)
            means.append(sum(found) / len(found))
        panel.plot(range(len(values)), means, color=colour(1), marker="_", markersize=12, linewidth=1)
        crowded = len(values) > 6 or max(map(len, values)) > 12
        panel.set_xticks(
            range(len(values)),
            shortened(values, 16),
            rotation=35 if crowded else 0,
            ha="right" if crowded else "center",
        )
        panel.margins(x=0.15)
        panel.set(title=short_axis(axis), ylabel=select.metric)
    caption = (
        "Points: variants (mean over seeds). Line: mean of all variants with that value, other axes averaged over. "
        "ρ: rank correlation of a drawn axis with the metric."
    )
    return finish(figure, "axes", "Effect of each axis", caption)


def _draw_continuous(panel: Any, variants: Sequence[Variant], axis: str, select: Select) -> None:
    """Every variant at its place on the axis, which is logarithmic where the values span more than a decade."""
    from scipy.stats import spearmanr  # half a second, and most axes are not drawn at random

    pairs = [(variant.axes[axis], variant.val.mean) for variant in variants if variant.val and axis in variant.axes]
    values, metrics = zip(*pairs, strict=True)
    panel.scatter(values, metrics, s=12, color=colour(0), alpha=0.7, linewidth=0)
    if min(values) > 0 and max(values) / min(values) > 10:
        panel.set_xscale("log")
        plain_log_labels(panel.xaxis)
    rho = spearmanr(values, metrics).statistic
    told = f" (ρ = {rho:+.2f})" if np.isfinite(rho) else ""
    panel.set(title=short_axis(axis) + told, ylabel=select.metric)


def heat_map(variants: Sequence[Variant], axes: Sequence[str], select: Select) -> Plot | None:
    """The metric over the two axes that share the most variants; None where no two axes make a grid."""
    scored = [variant for variant in variants if variant.val]
    gridded = [axis for axis in varied(scored, axes) if not is_continuous(scored, axis)]
    pairs = [(_grid(scored, first, second), first, second) for first, second in combinations(gridded, 2)]
    pairs = [pair for pair in pairs if np.isfinite(pair[0]).sum() >= 4]
    if not pairs:
        return None
    grid, first, second = max(pairs, key=lambda pair: int(np.isfinite(pair[0]).sum()))
    rows, columns = values_of(scored, first), values_of(scored, second)
    figure, (axes_,) = canvas(width=min(8.0, 2.2 + 0.95 * len(columns)), height=1.4 + 0.42 * len(rows))
    image = axes_.imshow(grid, cmap="viridis_r" if select.mode == "min" else "viridis", aspect="auto")
    axes_.grid(False)
    axes_.set_xticks(range(len(columns)), shortened(columns, 12))
    axes_.set_yticks(range(len(rows)), shortened(rows, 20))
    axes_.set(xlabel=short_axis(second), ylabel=short_axis(first))
    if grid.size <= 100:
        low, high = np.nanmin(grid), np.nanmax(grid)
        for (row, column), value in np.ndenumerate(grid):
            if np.isfinite(value):
                share = (value - low) / (high - low) if high > low else 0.0
                dark = share > 0.5 if select.mode == "min" else share < 0.5
                ink = "#ffffff" if dark else "#000000"
                axes_.text(column, row, f"{value:.3g}", ha="center", va="center", fontsize=7.5, color=ink)
    figure.colorbar(image, ax=axes_, label=select.metric)
    caption = "Mean over seeds, and over the variants of a cell where other axes vary too. Blank: not run."
    return finish(figure, "heat_map", f"{short_axis(first)} and {short_axis(second)}", caption)


def _grid(variants: Sequence[Variant], first: str, second: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(values of first, values of second) mean metric; NaN where there is no variant."""
    rows, columns = values_of(variants, first), values_of(variants, second)
    total, count = np.zeros((len(rows), len(columns))), np.zeros((len(rows), len(columns)))
    for variant in variants:
        if first in variant.axes and second in variant.axes and variant.val:
            place = rows.index(axis_label(variant.axes[first])), columns.index(axis_label(variant.axes[second]))
            total[place] += variant.val.mean
            count[place] += 1
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)
