"""Figure of the guidance weights: how much each modality counts, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.plots.figure import HEALTHY, Plot, canvas, finish, legend_beside
from analysis.plots.fusion import draw, lines_of
from analysis.rank.curves import VariantLogs
from runner.health.guidance import GUIDANCE
from runner.health.thresholds import Thresholds


def guidance(logs: Sequence[VariantLogs], t: Thresholds) -> Plot | None:
    """The mean weight of each modality on the validation split, a panel a modality, a line a variant."""
    names = dict.fromkeys(name for item in logs for name in quantities(item))
    panels = {name: lines for name in names if (lines := lines_of(logs, name))}
    if not panels:
        return None
    figure, axes = canvas(columns=len(panels), height=3.2, width=3.2 * len(panels))
    for place, (name, lines) in zip(axes, panels.items(), strict=True):
        place.axhspan(t.guidance_low, t.guidance_high, color=HEALTHY, alpha=0.10, linewidth=0)
        draw(place, lines)
        place.set(title=name.removeprefix(f"{GUIDANCE}_"), ylim=(0, 1))
    legend_beside(axes[-1], max(map(len, panels.values())) + 1)
    caption = f"Mean over the validation split and the seeds. Shaded: {t.guidance_low:.0%} to {t.guidance_high:.0%}."
    return finish(figure, "guidance", "Guidance weights by epoch", caption)


def quantities(item: VariantLogs) -> list[str]:
    """The guidance weights that a variant logged, in the order of its log."""
    epochs = [values for run in item.runs for values in run.layers.get(GUIDANCE, {}).values()]
    return list(dict.fromkeys(name for values in epochs for name in values if name.startswith(f"{GUIDANCE}_")))
