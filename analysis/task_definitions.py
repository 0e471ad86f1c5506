"""What the quantities of the shipped tasks are called and how they are shown: data, in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.formatting import share, significant
from runner.health.quantities import grouped
from runner.health.thresholds import Thresholds


def _text(value: Any) -> str:
    return value if isinstance(value, str) else significant(value, 3)


@dataclass(frozen=True)
class Shown:
    """A quantity of the crystal task, as a column of the ranked table."""

    name: str  # in logs and results
    importance: int  # as that of a Column
    column: str = ""  # where another name is documented
    show: Callable[[Any], str] = _text
    in_paper: bool = False
    right: bool = True


JUDGED_LAYER = (  # of the fused layer farthest from the healthy band
    Shown("w_graph", 4, column="final_w_graph"),
    Shown("w_text", 4, column="final_w_text"),
    Shown("ratio", 70, in_paper=True),
    Shown("band", 60, right=False),
)
JUDGED_SIZES = (Shown("contribution_ratio", 3),)
METRICS = (Shown("reliance", 69, show=share),)  # of a run, mean over seeds

COMPARED = ("ratio", "contribution_ratio", "cosine", "norm_ratio", "gate_mean")  # of every fused layer, by `compare`
FOLLOWED = {  # command → quantities of every layer that it lists by epoch
    "weights": ("w_graph", "w_text", "ratio", "contribution_ratio"),
    "scales": ("text_scale", "node_scale"),
}
DIAGNOSED = (  # of every fused layer, by `diagnose`
    "norm_ratio", "h_norm", "scaled_u_norm", "t_norm", "u_norm", "cosine", "relative_change",
    "gate_mean", "gate_std", "gate_min", "gate_max", "w_graph", "w_text", "ratio", "contribution_ratio", "text_scale",
    "node_scale", "quality", "fusion_gate", "modulated_gate", "beta", "importance", "instability", "mae",
)  # fmt: skip
DIAGNOSED_TITLES = {  # of the table for people
    "layer": "layer", "split": "split", "norm_ratio": "norm ratio", "t_norm": "‖t‖", "u_norm": "‖u‖",
    "cosine": "cosine", "relative_change": "change", "gate_mean": "gate", "gate_std": "gate sd", "ratio": "ratio",
    "contribution_ratio": "terms", "quality": "quality", "fusion_gate": "fusion gate", "modulated_gate": "modulated",
    "instability": "instability", "mae": "MAE",
}  # fmt: skip
ADJUSTED = {  # a parameter that a retry may change → what that does
    "train.micro_batch": ("computed each batch in parts of {}, because GPU memory had run out: equal but for rounding"),
}
SETTINGS = {  # a parameter that makes variants unequal → why
    "train.schedule": (
        "its learning-rate schedule is {} where most variants have {}: the best epoch is optimistic by 0.3 % with "
        "onecycle, by 4 % with a constant rate"
    ),
}
FULL_EPOCHS = 100
FULL_PATIENCE = 10  # epochs; a search stops earlier than a full training should
IN_FULL = dict.fromkeys(("params.data.train", "params.data.val", "params.data.test"), "null")
FULL_TRAINING: Mapping[str | None, Mapping[str, str]] = {  # task → what trains its best variant in full
    task: {"params.train.epochs": str(FULL_EPOCHS), **IN_FULL} for task in (None, "crystal")
}


@dataclass(frozen=True)
class Panel:
    """One quantity of the fused layers by epoch."""

    quantity: str
    label: str = ""  # left out: the quantity
    low: float | str | None = None  # healthy from here, a number or the name of a threshold …
    high: float | str | None = None  # … to here
    spread: str = ""  # the quantity of the bands around the lines; left out: sd over the seeds

    def band(self, thresholds: Thresholds) -> tuple[float | None, float | None]:
        """Where it is healthy, as an experiment sets its thresholds."""
        low, high = (getattr(thresholds, x) if isinstance(x, str) else x for x in (self.low, self.high))
        return low, high


@dataclass(frozen=True)
class LayerFigure:
    """Quantities by epoch: one line for each variant and layer."""

    name: str  # of its file
    title: str
    panels: tuple[Panel, ...]  # those that nothing logged are left out
    caption: str = ""  # {low} and {high}: of the last panel
    log: bool = False
    from_0_to_1: bool = False


RATIO = LayerFigure(
    "ratio",
    "Weight ratio by epoch and layer",
    (Panel("ratio", "(1 + w_graph) / w_text", "ratio_low", "ratio_high"),),
    "Shaded: healthy, {low:g} to {high:g}. Above, the text is ignored; below, it weighs too much.",
    log=True,
)
WEIGHTS = LayerFigure(
    "weights",
    "Fusion weights by epoch and layer",
    (Panel("w_graph"), Panel("w_text")),
    "Mean over atoms and seeds; band: sd of seeds.",
    from_0_to_1=True,
)
TEXT_SCALE = LayerFigure(
    "text_scale", "Text scale by epoch and layer", (Panel("text_scale"),), "The factor on the projected text."
)
FIGURES = (  # of the report, in its order
    RATIO,
    WEIGHTS,
    LayerFigure(
        "contribution_ratio",
        "Contributions by epoch and layer",
        (Panel("contribution_ratio"),),
        "mean‖graph term‖ / mean‖text term‖.",
    ),
    TEXT_SCALE,
    LayerFigure(
        "gates",
        "Gates by epoch and layer",
        (Panel("gate_mean", "gate", "gate_suppressed", "gate_saturated", spread="gate_std"),),
        "Mean; band: sd over atoms or items. Shaded: {low:g} to {high:g}.",
        from_0_to_1=True,
    ),
)
FOLLOWED_FIGURES = {
    "weights": (WEIGHTS, RATIO),
    "scales": (TEXT_SCALE, LayerFigure("node_scale", "Node scale by epoch and layer", (Panel("node_scale"),))),
}


def declared_figures(thresholds: Thresholds) -> list[LayerFigure]:
    """One figure for each group of quantities that the task of an experiment declares."""
    caption = "Mean over the validation split and the seeds. Shaded: between the borders of the health rule."
    return [
        LayerFigure(
            stem,
            f"{stem[:1].upper()}{stem[1:]} by epoch",
            tuple(Panel(item.name, item.member, item.low, item.high) for item in items),
            caption,
            from_0_to_1=all(item.unit == "%" for item in items),
        )
        for stem, items in grouped(thresholds.quantities).items()
    ]


def fused_layers(params: Mapping[str, Any], logged: int) -> int | None:
    """How many places join graph and text: every layer of the middle fusion, and one for a late fusion.

    A late fusion counts because a model with it is less simple than the same model without. None when the
    parameters are neither those of a crystal model nor of a command whose fusion weights are read: of these, `logged`.
    """
    model, command = params.get("model"), params.get("command")
    metrics = command.get("metrics") if isinstance(command, Mapping) else None
    if isinstance(metrics, Mapping) and metrics.get("fusion") is not None:
        return logged
    if not isinstance(model, Mapping):
        return None
    middle, late = (model.get(name) or {} for name in ("middle_fusion", "late_fusion"))
    middles = middle if isinstance(middle, (list, tuple)) else [middle]
    if not all(isinstance(fusion, Mapping) for fusion in (*middles, late)):
        return None
    layers = [fusion.get("layers") for fusion in middles if fusion.get("name", "none") != "none"]
    count = sum(len(each) for each in layers if isinstance(each, (list, tuple)))
    return count + int(late.get("name", "none") != "none")
