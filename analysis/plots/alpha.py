"""Figures of alpha for a paper: one column wide, on white, as PNG and PDF."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.plots.figure import STYLE, canvas, colour
from analysis.plots.layers import layer_name

Values = Mapping[str, NDArray[np.float32]]  # layer → (rows, channels) in (0, 1)
COLUMN = 3.4  # inches, a column of most journals
BINS = 50
PAPER: Any = {
    **STYLE,
    "font.size": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7,
    "axes.edgecolor": "#444444",
    "grid.color": "#bbbbbb",
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,  # text stays text
    "savefig.dpi": 300,
}


def files(values: Values) -> dict[str, bytes]:
    """File name → content of both figures."""
    with matplotlib.rc_context(PAPER):
        figures = {"alpha_histogram": histogram(values), "alpha_by_layer": by_layer(values)}
        return {f"{name}.{kind}": _bytes(figures[name], kind) for name in figures for kind in ("png", "pdf")}


def _bytes(figure: Figure, kind: str) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format=kind, metadata={"CreationDate": None} if kind == "pdf" else None)
    return content.getvalue()


def histogram(values: Values) -> Figure:
    """Share of all alpha of a layer in each of fifty bins."""
    figure, (axes,) = canvas(width=COLUMN, height=2.4)
    for position, (layer, alpha) in enumerate(values.items()):
        counts, edges = np.histogram(alpha, BINS, (0, 1))
        axes.stairs(counts / alpha.size, edges, color=colour(position), label=layer_name(layer), linewidth=1.2)
    axes.set(xlabel="alpha", ylabel="share of atoms and channels", xlim=(0, 1))
    if len(values) > 1:
        axes.legend()
    return figure


def by_layer(values: Values) -> Figure:
    """Of each layer: median, quartiles, and the range from the 5th to the 95th percentile."""
    figure, (axes,) = canvas(width=COLUMN, height=2.4)
    for position, alpha in enumerate(values.values()):
        low, first, middle, third, high = np.percentile(alpha, (5, 25, 50, 75, 95))
        axes.plot([position, position], [low, high], color=colour(position), linewidth=1)
        axes.plot([position, position], [first, third], color=colour(position), linewidth=6, solid_capstyle="butt")
        axes.plot(position, middle, "o", color="white", markeredgecolor=colour(position), markersize=4)
    axes.set_xticks(range(len(values)), [layer_name(layer) for layer in values])
    axes.set(ylabel="alpha", ylim=(0, 1), xlim=(-0.6, len(values) - 0.4))
    return figure
