"""The figure of a diagnosis: sizes, directions, change and gates of every fused layer, on train and val crystals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from analysis.plots.figure import HEALTHY, RULE, Plot, canvas, colour, finish
from analysis.plots.layers import layer_name
from runner.health.quantities import LATE, Quantities, quantity
from runner.health.thresholds import Thresholds

Splits = Mapping[str, Mapping[str, Quantities]]  # split → layer → quantities


def overview(splits: Splits, run_id: str, thresholds: Thresholds) -> Plot:
    """Four panels, two more for a late fusion with a gate; green is the healthy band where there is one."""
    late = any("fusion_gate" in layer for layers in splits.values() for layer in layers.values())
    figure, panels = canvas(columns=2, rows=3 if late else 2, width=8.0, height=8.2 if late else 5.6)
    layers = list(next(iter(splits.values()), {}))
    _bars(
        panels[0],
        splits,
        layers,
        "norm_ratio",
        "norm ratio  ‖h‖ / ‖ũ‖",
        (thresholds.norm_ratio_low, thresholds.norm_ratio_high),
    )
    panels[0].axhline(1.0, color=RULE, linewidth=1)
    _bars(
        panels[1],
        splits,
        layers,
        "cosine",
        "cosine of h and ũ",
        (thresholds.cosine_good_low, thresholds.cosine_good_high),
    )
    _bars(
        panels[2],
        splits,
        layers,
        "relative_change",
        "relative change",
        (thresholds.change_idle, thresholds.change_drowning),
    )
    _bars(panels[3], splits, layers, "gate_mean", "gate, mean ± sd", None, spread="gate_std")
    if late:
        gates = {"quality": "quality", "fusion_gate": "fusion", "gate_mean": "effective"}
        _late_bars(
            panels[4],
            splits,
            gates,
            "gates of the late fusion",
            (thresholds.gate_suppressed, thresholds.gate_saturated),
        )
        errors = {"mae": "MAE", "instability": "instability of the gate"}
        _late_bars(panels[5], splits, errors, "error and instability", None)
    handles = [Patch(color=colour(position), label=split) for position, split in enumerate(splits)]
    panels[1].legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.02), borderaxespad=0)
    caption = "Shaded: balanced, well aligned, neither idle nor drowning. Empty: not reported by this fusion."
    return finish(figure, "diagnosis", f"Diagnosis of {run_id}", caption)


def _late_bars(
    axes: Axes, splits: Splits, names: Mapping[str, str], title: str, band: tuple[float, float] | None
) -> None:
    """A group of bars for each quantity of the late fusion; `names`: quantity → label."""
    by_label = {
        split: {label: {"value": layers.get(LATE, {}).get(name)} for name, label in names.items()}
        for split, layers in splits.items()
    }
    _bars(axes, by_label, list(names.values()), "value", title, band)


def _bars(
    axes: Axes,
    splits: Splits,
    layers: list[str],
    name: str,
    title: str,
    band: tuple[float, float] | None,
    spread: str | None = None,
) -> None:
    width = 0.8 / max(1, len(splits))
    if band is not None:
        axes.axhspan(*band, color=HEALTHY, alpha=0.12, linewidth=0)
    for position, values in enumerate(splits.values()):
        heights = [quantity(values.get(layer, {}), name) or 0.0 for layer in layers]
        errors = [quantity(values.get(layer, {}), spread) or 0.0 for layer in layers] if spread else None
        places = np.arange(len(layers)) + (position - (len(splits) - 1) / 2) * width
        axes.bar(places, heights, width * 0.92, color=colour(position), yerr=errors, error_kw={"ecolor": RULE})
    axes.set_title(title)
    axes.set_xticks(range(len(layers)), [layer_name(layer) for layer in layers])
