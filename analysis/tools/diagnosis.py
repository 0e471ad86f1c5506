"""A verdict on the fusions of a trained model from what they do on its crystals. Free of torch and pandas.

The order of the verdict is that of runner.health.verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.health.findings import Finding, health_word, number
from runner.health.judgement import fusion_findings, warm_epochs
from runner.health.quantities import Quantities, quantity
from runner.health.settings import planned_steps, settings_of
from runner.health.thresholds import Thresholds
from runner.health.training import History

SHOWN = (
    "norm_ratio", "h_norm", "scaled_u_norm", "t_norm", "u_norm", "cosine", "relative_change",
    "gate_mean", "gate_std", "gate_min", "gate_max", "w_graph", "w_text", "ratio", "contribution_ratio", "text_scale",
    "node_scale", "quality", "fusion_gate", "modulated_gate", "beta", "importance", "instability", "mae",
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
    layers: Mapping[str, Quantities],
    params: Mapping[str, Any],
    t: Thresholds,
    gates: Sequence[Quantities] = (),
    history: History = (),
) -> Diagnosis:
    """`layers`: layer → quantities on validation crystals; `params`: of the run; `gates`: its fusion_weights.csv."""
    steps, warm = planned_steps(history, params), warm_epochs(history, params)
    findings = tuple(fusion_findings(layers, t, params, steps, gates, warm))
    middle = {layer: values for layer, values in layers.items() if layer.isdigit()}
    scaled = any(settings_of(params, layer).has("initial_scale") for layer in middle)
    proposed = balancing_scale(middle, t) if scaled else None
    verdicts = [finding for finding in findings if finding.level != "info" and finding.below is None]
    scale = f"model.middle_fusion.initial_scale: {number(proposed)} would balance the sizes" if proposed else ""
    if not layers:
        return Diagnosis("nothing to judge: no fusion reports anything", "ok", "", None, ())
    if not verdicts:
        return Diagnosis("healthy: no quantity is beyond its threshold", "ok", scale, proposed, findings)
    first = verdicts[0]
    rest = [
        f"{finding.rule} in {_place(finding)}"
        for finding in findings
        if finding.level != "info" and finding is not first
    ]
    also = f"; also {', '.join(rest)}" if rest else ""
    verdict = f"{_place(first)}: {first.message}{also}"
    return Diagnosis(verdict, health_word(findings), first.advice, proposed, findings)


def _place(finding: Finding) -> str:
    return f"layer {finding.layer}" if (finding.layer or "").isdigit() else str(finding.layer)


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


def layer_rows(run_id: str, found: Mapping[str, Mapping[str, Quantities]]) -> list[dict[str, object]]:
    """A row for every layer and split; `found`: split → layer → quantities."""
    return [
        {"run": run_id, "layer": layer, "split": split, **{name: quantity(values, name) for name in SHOWN}}
        for layer in next(iter(found.values()), {})
        for split, values in ((split, layers.get(layer, {})) for split, layers in found.items())
    ]
