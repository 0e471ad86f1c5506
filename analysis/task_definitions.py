"""What the quantities of the shipped tasks are called and how they are shown: data, in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.formatting import share, significant

GUIDANCE = "guidance"  # the layer under which a model of several modalities logs their weights


def _text(value: Any) -> str:
    return value if isinstance(value, str) else significant(value, 3)


@dataclass(frozen=True)
class Quantity:
    """What a task reports, as a column of the ranked table."""

    name: str  # in its logs and results
    importance: int  # as that of a Column
    column: str = ""  # where another name is documented
    show: Callable[[Any], str] = _text
    in_paper: bool = False
    right: bool = True


JUDGED_LAYER = (  # of the fused layer farthest from the healthy band
    Quantity("w_graph", 4, column="final_w_graph"),
    Quantity("w_text", 4, column="final_w_text"),
    Quantity("ratio", 70, in_paper=True),
    Quantity("band", 60, right=False),
)
JUDGED_SIZES = (Quantity("contribution_ratio", 3),)
METRICS = (Quantity("reliance", 69, show=share),)  # of a run, mean over seeds
WHOLE_LAYERS = {GUIDANCE: Quantity("", 61, show=share)}  # layer → how every quantity logged under it is shown

COMPARED = ("ratio", "contribution_ratio", "cosine", "norm_ratio", "gate_mean")  # of every fused layer, by `compare`
FOLLOWED = {  # command → quantities of every layer that it lists by epoch
    "weights": ("w_graph", "w_text", "ratio", "contribution_ratio"),
    "scales": ("text_scale", "node_scale"),
}
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
IN_FULL = dict.fromkeys(("params.data.train", "params.data.val", "params.data.test"), "null")
FULL_TRAINING: Mapping[str | None, Mapping[str, str]] = {  # task → what trains its best variant in full
    task: {"params.train.epochs": str(FULL_EPOCHS), **IN_FULL} for task in (None, "crystal")
}


@dataclass(frozen=True)
class LayerFigure:
    """Quantities of the fused layers by epoch: one panel for each, one line for each variant and layer."""

    name: str  # of its file
    title: str
    quantities: tuple[str, ...]  # with `*` at the end: all that begin so
    caption: str = ""  # {low} and {high} are the thresholds
    label: str = ""  # of the y axis; left out: the quantity
    spread: str = ""  # the quantity of the bands around the lines; left out: sd over the seeds
    healthy: tuple[str, str] | None = None  # thresholds between which a value is healthy
    log: bool = False
    from_0_to_1: bool = False


RATIO = LayerFigure(
    "ratio", "Weight ratio by epoch and layer", ("ratio",), label="(1 + w_graph) / w_text", log=True,
    healthy=("ratio_low", "ratio_high"),
    caption="Shaded: healthy, {low:g} to {high:g}. Above, the text is ignored; below, it weighs too much.",
)  # fmt: skip
WEIGHTS = LayerFigure(
    "weights", "Fusion weights by epoch and layer", ("w_graph", "w_text"), from_0_to_1=True,
    caption="Mean over atoms and seeds; band: sd of seeds.",
)  # fmt: skip
TEXT_SCALE = LayerFigure(
    "text_scale", "Text scale by epoch and layer", ("text_scale",), caption="The factor on the projected text."
)
NODE_SCALE = LayerFigure("node_scale", "Node scale by epoch and layer", ("node_scale",))
FIGURES = (  # of the report, in its order
    LayerFigure(
        "guidance", "Guidance weights by epoch", ("guidance_*",), from_0_to_1=True,
        healthy=("guidance_low", "guidance_high"),
        caption="Mean over the validation split and the seeds. Shaded: {low:.0%} to {high:.0%}.",
    ),
    RATIO,
    WEIGHTS,
    LayerFigure(
        "contribution_ratio", "Contributions by epoch and layer", ("contribution_ratio",),
        caption="mean‖graph term‖ / mean‖text term‖.",
    ),
    TEXT_SCALE,
    LayerFigure(
        "gates", "Gates by epoch and layer", ("gate_mean",), label="gate", spread="gate_std", from_0_to_1=True,
        healthy=("gate_suppressed", "gate_saturated"),
        caption="Mean; band: sd over atoms or items. Shaded: {low:g} to {high:g}.",
    ),
)  # fmt: skip
FOLLOWED_FIGURES = {"weights": (WEIGHTS, RATIO), "scales": (TEXT_SCALE, NODE_SCALE)}


def fused_layers(params: Mapping[str, Any]) -> int | None:
    """How many places join graph and text: every layer of the middle fusion, and one for a late fusion.

    A late fusion counts because a model with it is less simple than the same model without. None when the
    parameters are not those of a crystal model.
    """
    model = params.get("model")
    if not isinstance(model, Mapping):
        return None
    middle, late = (model.get(name) or {} for name in ("middle_fusion", "late_fusion"))
    if not isinstance(middle, Mapping) or not isinstance(late, Mapping):
        return None
    layers = middle.get("layers")
    count = len(layers) if middle.get("name", "none") != "none" and isinstance(layers, (list, tuple)) else 0
    return count + int(late.get("name", "none") != "none")
