"""Health rules of the fusion: weights, scales, gates, alpha, norms. Free of torch and pandas.

Every rule takes the quantities of one layer, as fusion_weights.csv and diagnostics.jsonl name them, and returns
findings; a quantity that was not logged gives none.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.findings import Finding, number
from analysis.reading import finite
from analysis.thresholds import Thresholds

Quantities = Mapping[str, Any]
LATE = "late"  # the layer name of a late fusion; middle fusions are named by their ALIGNN layer


def quantity(values: Quantities, name: str) -> float | None:
    """The finite number logged as `name`, or None."""
    return finite(values.get(name))


def weight_ratio(values: Quantities) -> float | None:
    """(1 + w_graph) / w_text of the layers that log a `ratio`; equal weights give 3.

    Computed from the weights where they are logged too, so that of several seeds it is the ratio of the means.
    """
    ratio, graph, text = (quantity(values, name) for name in ("ratio", "w_graph", "w_text"))
    if ratio is None or graph is None or text is None:
        return ratio
    return (1 + graph) / text if text > 0 else ratio


def judged_ratio(values: Quantities, t: Thresholds) -> float | None:
    """The ratio that the bands apply to: of the weights, or of the contributions where the configuration says so."""
    ratio = weight_ratio(values)
    return quantity(values, "contribution_ratio") if ratio is None and t.contribution_bands else ratio


def band(ratio: float, t: Thresholds) -> str:
    """The name of the band in which `ratio` lies."""
    borders = (
        (t.ratio_low, "text-heavy"),
        (t.ratio_leaning, "leaning to graph"),
        (t.ratio_dominant, "graph-dominant"),
    )
    if ratio > t.ratio_high:
        return "text ignored"
    return next((name for border, name in borders if ratio < border), "strongly graph")


def ratio_findings(values: Quantities, t: Thresholds, layer: str | None = None) -> list[Finding]:
    """Blocking outside the healthy band; beyond the suspect borders the advice widens.

    The sizes of the two terms stand beside the weights, because a small weight on a large stream is a large term.
    """
    ratio = judged_ratio(values, t)
    if ratio is None or t.ratio_low <= ratio <= t.ratio_high:
        return []
    low = ratio < t.ratio_low
    threshold = t.ratio_low if low else t.ratio_high
    advice = (
        "more dropout or a smaller hidden_dim in the fusion; fewer fused layers"
        if low
        else "check what the texts say, or add train.contrastive_weight: 0.1; or drop the text"
    )
    if ratio < t.ratio_suspect_low or ratio > t.ratio_suspect_high:
        advice = "check the descriptions, then hidden_dim and dropout of the fusion; " + advice
    what = "the text weighs too much" if low else "the text is ignored"
    side = "below" if low else "above"
    name = "contribution ratio" if weight_ratio(values) is None else "ratio"
    message = f"{what}: {name} {number(ratio, threshold)} is {side} {number(threshold)}"
    sizes = quantity(values, "contribution_ratio")
    if name == "ratio" and sizes is not None:
        beside = f"contribution ratio {number(sizes)}"
        contradiction = _contradiction(low, sizes, t)
        message += f", {contradiction}: {beside}" if contradiction else f" ({beside})"
        if contradiction:
            advice = f"`analysis diagnose` first: a weight says little while the streams differ in size; then {advice}"
    return [Finding("blocking", "ratio_low" if low else "ratio_high", ratio, threshold, message, advice, layer)]


def _contradiction(low: bool, sizes: float, t: Thresholds) -> str:
    """What mean‖graph term‖ / mean‖text term‖ says against a weight ratio outside its band; empty where it agrees."""
    if low and sizes > t.ratio_high:
        return "but by size the graph term dominates"
    return "but by size the text term is not small" if not low and sizes < t.ratio_low else ""


def initial_scale(params: Mapping[str, Any]) -> float | None:
    """The start of text_scale where it is learnable."""
    model = params.get("model")
    middle = model.get("middle_fusion") if isinstance(model, Mapping) else None
    if not isinstance(middle, Mapping) or not middle.get("learnable_scale"):
        return None
    return quantity(middle, "initial_scale")


def text_scale_findings(
    values: Quantities, t: Thresholds, layer: str | None = None, start: float | None = None
) -> list[Finding]:
    """Exploding or collapsed is blocking; a drift from a start of 12 is information. `start`: initial_scale."""
    scale = quantity(values, "text_scale")
    if scale is None:
        return []

    def found(level: str, rule: str, threshold: float, what: str, advice: str) -> list[Finding]:
        side = "above" if scale > threshold else "below"
        message = f"{what}: text_scale {number(scale, threshold)} is {side} {number(threshold)}"
        return [Finding(level, rule, scale, threshold, message, advice, layer)]  # type: ignore[arg-type]

    if scale > t.text_scale_exploding:
        advice = "initial_scale: 20, or train.learning_rate: 5e-4"
        return found("blocking", "text_scale_exploding", t.text_scale_exploding, "the text scale explodes", advice)
    if abs(scale) < t.text_scale_collapsed:
        advice = "train.contrastive_weight: 0.1; check the texts"
        return found("blocking", "text_scale_collapsed", t.text_scale_collapsed, "the text scale collapsed", advice)
    if start != t.text_scale_start:
        return []
    if scale > t.text_scale_rising:
        advice = f"try initial_scale: {number(scale)}"
        return found("info", "text_scale_rising", t.text_scale_rising, "the text wants more weight", advice)
    if scale < t.text_scale_falling:
        advice = f"try initial_scale: {number(scale)}, or check the texts"
        return found("info", "text_scale_falling", t.text_scale_falling, "the text is being weakened", advice)
    return []


def gate_findings(values: Quantities, t: Thresholds, layer: str | None = None) -> list[Finding]:
    """Suppressed or saturated effective gate of a late fusion, low text quality."""
    findings = []
    gate = quantity(values, "gate_mean")
    if gate is not None and gate < t.gate_suppressed:
        message = f"the gate is suppressed: mean {number(gate, t.gate_suppressed)} is below {number(t.gate_suppressed)}"
        advice = "late_fusion: {name: simplified_gated}"
        findings.append(Finding("warning", "gate_suppressed", gate, t.gate_suppressed, message, advice, layer))
    if gate is not None and gate > t.gate_saturated:
        message = f"the gate is saturated: mean {number(gate, t.gate_saturated)} is above {number(t.gate_saturated)}"
        advice = "gate_warmup, or a smaller learning rate"
        findings.append(Finding("warning", "gate_saturated", gate, t.gate_saturated, message, advice, layer))
    quality = quantity(values, "quality")
    if quality is not None and quality < t.gate_quality_low:
        limit = t.gate_quality_low
        message = f"the text is judged poor: quality gate {number(quality, limit)} is below {number(limit)}"
        advice = "text_quality: true"
        findings.append(Finding("warning", "gate_quality", quality, t.gate_quality_low, message, advice, layer))
    return findings


def gate_stability_findings(gates: Sequence[float], t: Thresholds, layer: str | None = None) -> list[Finding]:
    """`gates`: the mean gate of every epoch, in order."""
    last = gates[len(gates) - max(3, len(gates) // 3) :]
    if len(gates) < 3 or (spread := statistics.pstdev(last)) <= t.gate_unstable:
        return []
    message = f"the gate is unstable: sd {number(spread)} over the last epochs is above {number(t.gate_unstable)}"
    return [Finding("warning", "gate_unstable", spread, t.gate_unstable, message, "gate_warmup: 500", layer)]


def alpha_findings(values: Quantities, t: Thresholds, layer: str | None = None) -> list[Finding]:
    """Flat, expressive or extreme alpha, the gate of a middle fusion; sd and shares over atoms, not over channels."""
    findings = []
    spread, low, high = (quantity(values, name) for name in ("gate_std", "gate_min", "gate_max"))
    if spread is not None and low is not None and high is not None:
        width = high - low
        seen = f"sd {number(spread)}, range {number(width)}"
        if spread <= t.alpha_flat_std and width <= t.alpha_flat_range:
            message = f"alpha is flat: {seen}; at most {number(t.alpha_flat_std)} and {number(t.alpha_flat_range)}"
            advice = "gate_norm: true, so that the gate sees both streams"
            findings.append(Finding("warning", "alpha_flat", spread, t.alpha_flat_std, message, advice, layer))
        elif spread >= t.alpha_expressive_std and width >= t.alpha_expressive_range:
            message = f"alpha is expressive: {seen}"
            findings.append(Finding("info", "alpha_expressive", spread, t.alpha_expressive_std, message, "", layer))
    shares = [quantity(values, name) for name in ("gate_share_below_0.1", "gate_share_above_0.9")]
    extreme = sum(share for share in shares if share is not None)
    if extreme > t.alpha_extreme_share:
        message = f"alpha is closed or saturated: {extreme:.0%} of the atoms are below 0.1 or above 0.9"
        advice = "gate_norm: true, or a smaller learning rate"
        findings.append(Finding("warning", "alpha_extreme", extreme, t.alpha_extreme_share, message, advice, layer))
    return findings
