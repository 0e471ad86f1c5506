"""Figures of the quantities that a task declares, epoch by epoch: how much each modality counts, say."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.plots.figure import HEALTHY, Plot, canvas, finish, legend_beside
from analysis.plots.fusion import draw, lines_of
from analysis.rank.curves import VariantLogs
from runner.health.quantities import Quantity, grouped
from runner.health.thresholds import Thresholds


def declared(logs: Sequence[VariantLogs], t: Thresholds) -> list[Plot]:
    """A figure per group of quantities that layers log: a panel each, a line per variant."""
    return [plot for stem, each in grouped(t.quantities).items() if (plot := _group(stem, each, logs))]


def _group(stem: str, quantities: Sequence[Quantity], logs: Sequence[VariantLogs]) -> Plot | None:
    panels = [(each, lines) for each in quantities if (lines := lines_of(logs, each.name))]
    if not panels:
        return None
    figure, axes = canvas(columns=len(panels), height=3.2, width=3.2 * len(panels))
    for place, (each, lines) in zip(axes, panels, strict=True):
        if each.low is not None and each.high is not None:
            place.axhspan(each.low, each.high, color=HEALTHY, alpha=0.10, linewidth=0)
        draw(place, lines)
        place.set(title=each.member, ylabel="" if each.unit == "%" else each.unit)
        if each.unit == "%":
            place.set_ylim(0, 1)
    legend_beside(axes[-1], max(len(lines) for _, lines in panels) + 1)
    caption = "Mean over the validation split and the seeds. Shaded: between the borders of the health rule."
    return finish(figure, stem, f"{stem[:1].upper()}{stem[1:]} by epoch", caption)
