"""The look of all figures, and their SVG: transparent, with text in the colour of the page around it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from analysis.rank.curves import Curve

INK = "#111213"  # stands for the colour of the text; a page may replace it
RULE = "#a8a9aa"  # stands for the colour of grid lines and frames
# For light and dark, told apart without red or green cones too; the first four are Okabe and Ito's
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#73654b", "#8a73ff", "#8c3f73", "#bf0020")
HEALTHY = COLOURS[2]

STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",  # ships with matplotlib
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.alpha": 0.35,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.parse_math": False,  # a name with $…$ is a name; broken TeX in it would end the drawing
}


@dataclass(frozen=True)
class Plot:
    """A finished figure."""

    name: str  # of its file
    title: str
    caption: str  # what is shown, with units and what a reader should see
    svg: str

    @property
    def inline(self) -> str:
        """For a page: text and rules in the colours of the page."""
        return self.svg.replace(INK, "currentColor").replace(RULE, "var(--rule, #a8a9aa)")


def colour(position: int) -> str:
    return COLOURS[position % len(COLOURS)]


def styled() -> AbstractContextManager[None]:
    """Inside it, figures have this look."""
    return matplotlib.rc_context(STYLE)


def canvas(columns: int = 1, rows: int = 1, *, width: float = 8.0, height: float = 3.7) -> tuple[Figure, list[Axes]]:
    """A figure with axes in reading order; inches. Made without pyplot, which keeps figures alive."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def finish(figure: Figure, name: str, title: str, caption: str) -> Plot:
    """Draw the figure as SVG. Ids are salted with the name, so that several figures can share a page."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the reader's browser has the font, not matplotlib
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue().replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")  # of about equal width
    return Plot(name, title, caption, svg[svg.index("<svg") :])


def legend_beside(axes: Axes, entries: int) -> None:
    """A legend to the right of the axes; none for a single line."""
    if entries > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), borderaxespad=0)


def draw_curve(axes: Axes, curve: Curve, spread: Sequence[float], **style: Any) -> None:
    """A curve by epoch, with a band of `spread` around it where that has a value for each epoch."""
    mean, band = np.array(curve.mean), np.array(spread)
    axes.plot(curve.epochs, mean, **style)
    if band.shape == mean.shape and band.any():
        axes.fill_between(curve.epochs, mean - band, mean + band, color=style["color"], alpha=0.16, linewidth=0)


def over_epochs(axes: Axes) -> None:
    """An x axis of epochs: whole numbers."""
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def plain_log_labels(axis: Axis) -> None:
    """Numbers such as 0.3 on a logarithmic axis, in place of powers of ten."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if high < 100 * low else (1.0,)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())
