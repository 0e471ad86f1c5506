"""The figure and the table of docs/tied.md: four comparisons with the best variant, two truths by two efforts.

    python -m benchmarks.tied              # writes docs/img/tied.svg and the table

Losses are drawn with the noise of real seeds (benchmarks/choice.py); the product's own functions judge them.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from analysis.collect.manifest import Select
from analysis.rank.significance import tie
from analysis.rank.statistics import Interval, paired_interval
from benchmarks.choice import MEAN, NOISE, losses
from benchmarks.page import filled, table

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, FIGURE = DOCS / "tied.md", DOCS / "img" / "tied.svg"
WORSE = (0.03, 0.12)  # true excess of the error over that of the best
EFFORT = ((3, 100), (20, 2000))  # seeds, items
BLUE, ORANGE, INK = "#0072b2", "#b84a00", "#16191d"  # as in the report


class Case(NamedTuple):
    """One comparison, relative to the error of the best."""

    truth: float
    interval: Interval
    best: float
    tied: bool

    @property
    def beyond(self) -> bool:
        return self.interval.is_beyond_noise(self.interval.p)  # of one comparison

    @property
    def relative(self) -> tuple[float, float, float]:
        return (self.interval.difference / self.best, self.interval.low / self.best, self.interval.high / self.best)


def cases() -> list[Case]:
    """Every truth with every effort."""
    random = np.random.default_rng(0)
    made = []
    for truth in WORSE:
        for seeds, items in EFFORT:
            best, other = MEAN + losses(random, np.array([[0.0, truth * MEAN]]), NOISE["measured"], seeds, items)[0]
            mean = float(best.mean())
            made.append(Case(truth, paired_interval(other, best), mean, tie(float(other.mean()), mean, Select()).tied))
    return made


def words(case: Case) -> str:
    return f"{'tied' if case.tied else 'not tied'}, {'beyond' if case.beyond else 'inside'} the noise"


def tables() -> dict[str, str]:
    """The part of the page."""
    header = ("truly worse by", "seeds", "items", "measured", "95 % interval", "says")
    rows = []
    for case, (seeds, items) in zip(cases(), EFFORT * len(WORSE), strict=True):
        difference, low, high = case.relative
        measured = (f"{difference:+.1%}", f"{low:+.1%} to {high:+.1%}", words(case))
        rows.append((f"{case.truth:.0%}", str(seeds), f"{items:,}", *measured))
    return {"cases": table(header, rows)}


def draw_figure() -> None:
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "tied", "font.family": "sans-serif", "font.size": 10})
    figure, axes = plt.subplots(figsize=(5.2, 2.7))
    within = 100 * Select().within
    axes.axvspan(-within, within, color=BLUE, alpha=0.12, lw=0)
    axes.text(0, -0.75, f"tied: within ± {within:g} % of the best", ha="center", color=BLUE)
    axes.plot([0, 0], [-0.5, 3.6], color=INK, lw=1)
    labels = []
    for row, (case, (seeds, items)) in enumerate(zip(cases(), EFFORT * len(WORSE), strict=True)):
        difference, low, high = (100 * value for value in case.relative)
        color = ORANGE if case.beyond else INK
        axes.plot([low, high], [row, row], color=color, lw=2, ls="-" if case.beyond else (0, (3, 2)))
        axes.plot(difference, row, "o", ms=7, mfc=color if case.beyond else "white", mec=color, mew=1.6)
        axes.text(22, row, words(case), va="center", color=color)
        labels.append(f"truly {100 * case.truth:g} % worse, {seeds} seeds, {items:,} items")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlim=(-21, 21), ylim=(3.6, -1.2), xlabel="error compared with the best variant, % (← better, worse →)")
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(FIGURE, bbox_inches="tight", facecolor="white", metadata={"Date": None, "Creator": None})


def main() -> None:
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), tables()), encoding="utf-8")
    draw_figure()


if __name__ == "__main__":
    main()
