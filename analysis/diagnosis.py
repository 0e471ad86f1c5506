"""A verdict on the fusions of a trained model from what they do on its crystals. Free of torch and pandas.

The decision flow: sizes first, because a stream that is ten times larger makes every number after it meaningless;
then directions, then what the fusion changes, then its gates and weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.findings import Finding, number
from analysis.fusion_health import Quantities, quantity
from analysis.health import fusion_findings
from analysis.thresholds import Thresholds

FLOW = (
    "norm_ratio", "cosine_poor", "fusion_idle", "fusion_drowning",
    "alpha_extreme", "alpha_flat", "gate_suppressed", "gate_saturated", "gate_quality",
    "text_scale_exploding", "text_scale_collapsed", "ratio_low", "ratio_high",
)  # fmt: skip
SCALED = ("middle", "improved")  # middle fusions with an initial_scale

SHOWN = (
    "norm_ratio", "h_norm", "scaled_u_norm", "t_norm", "u_norm", "cosine", "relative_change",
    "gate_mean", "gate_std", "gate_min", "gate_max", "w_graph", "w_text", "ratio", "contribution_ratio", "text_scale",
    "node_scale", "quality",
)  # fmt: skip


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong first, and what to do about it."""

    verdict: str
    level: str  # ok, warning or blocking
    next_step: str
    initial_scale: float | None  # that balances the norms; None where they are, or where the fusion has no scale
    findings: tuple[Finding, ...]


def diagnose(
    layers: Mapping[str, Quantities], fusion: str, t: Thresholds, initial_scale: float | None = None
) -> Diagnosis:
    """`layers`: layer → quantities on validation crystals; `fusion`: the name of the middle fusion."""
    findings = tuple(fusion_findings(layers, t, initial_scale))
    proposed = balancing_scale(layers, t) if fusion in SCALED else None
    serious = sorted((f for f in findings if f.rule in FLOW and f.level != "info"), key=lambda f: FLOW.index(f.rule))
    if not layers:
        return Diagnosis("nothing to judge: no fusion reports anything", "ok", "", None, ())
    if not serious:
        return Diagnosis("healthy: no quantity is beyond its threshold", "ok", "", proposed, findings)
    first = serious[0]
    place = f"layer {first.layer}" if (first.layer or "").isdigit() else first.layer
    return Diagnosis(f"{place}: {first.message}", first.level, _next_step(first, fusion, proposed), proposed, findings)


def _next_step(first: Finding, fusion: str, proposed: float | None) -> str:
    if first.rule != "norm_ratio":
        return first.advice
    if proposed is not None:
        return f"train again with model.middle_fusion.initial_scale: {number(proposed)}"
    return f"see what a factor does: analysis rescale best.pt --factor {number(first.value or 1.0)} --to rescaled.pt"


def balancing_scale(layers: Mapping[str, Quantities], t: Thresholds) -> float | None:
    """The one initial_scale that brings all layers nearest to a norm ratio of 1: the geometric mean of theirs.

    None where every layer is balanced.
    """
    ratios = {layer: quantity(values, "norm_ratio") for layer, values in layers.items()}
    known: Sequence[str] = [layer for layer, ratio in ratios.items() if ratio]
    if all(t.norm_ratio_low <= (ratios[layer] or 1.0) <= t.norm_ratio_high for layer in known):
        return None
    wanted = [(ratios[layer] or 1.0) * abs(quantity(layers[layer], "text_scale") or 1.0) for layer in known]
    return math.exp(sum(math.log(scale) for scale in wanted) / len(wanted))


def table_rows(run_id: str, found: Mapping[str, Mapping[str, Quantities]]) -> list[dict[str, object]]:
    """A row for every layer and split; `found`: split → layer → quantities."""
    return [
        {"run": run_id, "layer": layer, "split": split, **{name: quantity(values, name) for name in SHOWN}}
        for layer in next(iter(found.values()), {})
        for split, values in ((split, layers.get(layer, {})) for split, layers in found.items())
    ]
