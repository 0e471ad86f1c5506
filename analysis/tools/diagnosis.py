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
    thresholds: Thresholds,
    gates: Sequence[Quantities] = (),
    history: History = (),
) -> Diagnosis:
    """`layers`: layer → quantities on validation crystals; `params`: of the run; `gates`: its fusion_weights.csv."""
    steps, warm = planned_steps(history, params), warm_epochs(history, params)
    findings = tuple(fusion_findings(layers, thresholds, params, steps, gates, warm))
    middle = {layer: values for layer, values in layers.items() if layer.isdigit()}
    scaled = any(settings_of(params, layer).has("initial_scale") for layer in middle)
    proposed = balancing_scale(middle, thresholds) if scaled else None
    verdicts = [finding for finding in findings if finding.level != "info" and finding.below is None]
    scale = f"model.middle_fusion.initial_scale: {number(proposed)} would balance the sizes" if proposed else ""
    if not layers:
        return Diagnosis("nothing to judge: no fusion reports anything", "ok", "", None, ())
    if not verdicts:
        return Diagnosis("healthy: no quantity is beyond its threshold", "ok", scale, proposed, findings)
    first = verdicts[0]
    others = [finding for finding in findings if finding.level != "info" and finding is not first]
    rest = ", ".join(f"{finding.rule} in {_place(finding)}" for finding in others)
    verdict = f"{_place(first)}: {first.message}{f'; also {rest}' if rest else ''}"
    return Diagnosis(verdict, health_word(findings), first.advice, proposed, findings)


def _place(finding: Finding) -> str:
    return f"layer {finding.layer}" if (finding.layer or "").isdigit() else str(finding.layer)


def balancing_scale(layers: Mapping[str, Quantities], thresholds: Thresholds) -> float | None:
    """The one initial_scale that brings all layers nearest to a norm ratio of 1: the geometric mean of theirs.

    None where every layer is balanced.
    """
    sizes = [(quantity(values, "norm_ratio"), quantity(values, "text_scale")) for values in layers.values()]
    known = [(ratio, abs(scale or 1.0)) for ratio, scale in sizes if ratio]
    if all(thresholds.norm_ratio_low <= ratio <= thresholds.norm_ratio_high for ratio, _ in known):
        return None
    return math.exp(sum(math.log(ratio * scale) for ratio, scale in known) / len(known))
