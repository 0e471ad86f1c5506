"""Health rules of the two streams that a fusion joins: norms, direction, change. Free of torch and pandas."""

from __future__ import annotations

from analysis.findings import Finding, number
from analysis.fusion_health import Quantities, quantity
from analysis.thresholds import Thresholds


def norm_findings(values: Quantities, t: Thresholds, layer: str | None = None) -> list[Finding]:
    """`norm_ratio` = mean‖h‖/mean‖ũ‖ of atoms and scaled text; the scale that balances them is proposed."""
    ratio = quantity(values, "norm_ratio")
    if ratio is None or t.norm_ratio_low <= ratio <= t.norm_ratio_high:
        return []
    far = ratio > t.norm_ratio_far or ratio < 1 / t.norm_ratio_far
    threshold = t.norm_ratio_low if ratio < t.norm_ratio_low else t.norm_ratio_high
    balanced = f"{number(t.norm_ratio_low)} to {number(t.norm_ratio_high)}"
    message = f"graph and text differ in size: norm ratio {number(ratio)}; balanced is {balanced}"
    balancing = ratio * (quantity(values, "text_scale") or 1.0)
    advice = f"initial_scale: {number(balancing)} (fusions middle and improved)"
    return [Finding("warning" if far else "info", "norm_ratio", ratio, threshold, message, advice, layer)]


def text_norm_findings(values: Quantities, t: Thresholds, layer: str | None = None) -> list[Finding]:
    """`t_norm`, `u_norm`: mean length of the text vector as it comes in and as it is projected."""
    borders = {
        "t_norm": (t.text_norm_in_low, t.text_norm_in_high),
        "u_norm": (t.text_norm_out_low, t.text_norm_out_high),
    }
    findings = []
    for name, (low, high) in borders.items():
        norm = quantity(values, name)
        if norm is not None and not low <= norm <= high:
            message = f"{name} {number(norm)} is outside the usual {number(low)} to {number(high)}"
            threshold = low if norm < low else high
            findings.append(Finding("info", name, norm, threshold, message, "check the text encoder", layer))
    return findings


def cosine_findings(values: Quantities, t: Thresholds, layer: str | None = None) -> list[Finding]:
    """Cosine of h and u."""
    cosine = quantity(values, "cosine")
    if cosine is None:
        return []
    if cosine < t.cosine_poor:
        message = f"graph and text point apart: cosine {number(cosine, t.cosine_poor)} is below {number(t.cosine_poor)}"
        advice = "train.contrastive_weight: 0.1"
        return [Finding("warning", "cosine_poor", cosine, t.cosine_poor, message, advice, layer)]
    if t.cosine_good_low <= cosine <= t.cosine_good_high:
        message = f"graph and text are well aligned: cosine {number(cosine)}"
        return [Finding("info", "cosine_good", cosine, t.cosine_good_low, message, "", layer)]
    return []


def change_findings(values: Quantities, t: Thresholds, layer: str | None = None) -> list[Finding]:
    """`relative_change` = mean‖out − h‖/mean‖h‖ of a fused layer."""
    change = quantity(values, "relative_change")
    if change is None or t.change_idle <= change <= t.change_drowning:
        return []
    if change < t.change_idle:
        message = f"the fusion is idle: it changes the atoms by {change:.1%}, less than {t.change_idle:.0%}"
        advice = "a larger initial_scale, or fuse another layer"
        return [Finding("warning", "fusion_idle", change, t.change_idle, message, advice, layer)]
    message = f"the text drowns the graph: the fusion changes the atoms by {change:.0%}, above {t.change_drowning:.0%}"
    advice = "a smaller initial_scale, or more dropout in the fusion"
    return [Finding("warning", "fusion_drowning", change, t.change_drowning, message, advice, layer)]
