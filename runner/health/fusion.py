"""Health rules of the fusion: weights, scales, gates, alpha. Free of torch and pandas.

Every rule takes the quantities of one layer, as fusion_weights.csv and diagnostics.jsonl name them, and returns
findings; a quantity that was not logged gives none.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from runner.health.findings import Finding, Level, finding, number
from runner.health.quantities import Quantities, quantity
from runner.health.settings import (
    CONTRAST,
    FEWER_LAYERS,
    GATE_NORM,
    HALF_RATE,
    MORE_DROPOUT,
    NARROWER,
    SCALE_20,
    SLOWER,
    TEXT_QUALITY,
    UNKNOWN,
    Settings,
    gate_warmup,
    late_form,
)  # fmt: skip
from runner.health.thresholds import Thresholds


def weight_ratio(values: Quantities) -> float | None:
    """(1 + w_graph) / w_text of the layers that log a `ratio`; equal weights give 3.

    Computed from the weights where they are logged too, so that of several seeds it is the ratio of the means.
    """
    ratio, graph, text = (quantity(values, name) for name in ("ratio", "w_graph", "w_text"))
    if ratio is None or graph is None or text is None:
        return ratio
    return (1 + graph) / text if text > 0 else ratio


def judged_ratio(values: Quantities, thresholds: Thresholds) -> float | None:
    """The ratio that the bands apply to: of the weights, or of the contributions where the configuration says so."""
    ratio = weight_ratio(values)
    return quantity(values, "contribution_ratio") if ratio is None and thresholds.contribution_bands else ratio


def band(ratio: float, thresholds: Thresholds) -> str:
    """The name of the band in which `ratio` lies."""
    borders = (
        (thresholds.ratio_low, "text-heavy"),
        (thresholds.ratio_leaning, "leaning to graph"),
        (thresholds.ratio_dominant, "graph-dominant"),
    )
    if ratio > thresholds.ratio_high:
        return "text ignored"
    return next((name for border, name in borders if ratio < border), "strongly graph")


def ratio_findings(values: Quantities, thresholds: Thresholds, settings: Settings = UNKNOWN) -> list[Finding]:
    """Outside the healthy band: blocking where the sizes of the two terms are on the same side of it.

    A small weight on a large stream is a large term: where the sizes disagree with the weights that is information, and
    where they are not known a warning.
    """
    ratio = judged_ratio(values, thresholds)
    if ratio is None or thresholds.ratio_low <= ratio <= thresholds.ratio_high:
        return []
    level: Level
    low = ratio < thresholds.ratio_low
    rule, threshold = ("ratio_low", thresholds.ratio_low) if low else ("ratio_high", thresholds.ratio_high)
    what = "the text weighs too much" if low else "the text is ignored"
    limit = f"{'below' if low else 'above'} {{threshold}}"
    sizes = quantity(values, "contribution_ratio")
    agree = sizes is not None and (sizes < threshold if low else sizes > threshold)
    if agree or sizes is None:
        level, advice = "blocking" if agree else "warning", _ratio_advice(ratio, low, thresholds, settings)
        pattern = f"{what}: contribution ratio {{value}} is {limit}"
        if weight_ratio(values) is not None:
            beside = "" if sizes is None else f" (contribution ratio {number(sizes)})"
            pattern = f"{what}: ratio {{value}} is {limit}{beside}"
    else:
        level, advice = "info", ""
        by_size = f"by size the graph term is {number(sizes)} times the text term"
        pattern = f"by weight {what} (ratio {{value}} is {limit}), but {by_size}"
    return [finding(level, rule, ratio, threshold, pattern, advice, settings.layer)]


def _ratio_advice(ratio: float, low: bool, thresholds: Thresholds, settings: Settings) -> str:
    contrast = settings.advise(CONTRAST)
    advice = "check what the texts say" + (f", or {contrast}" if contrast else "") + "; or do without the text"
    if low:
        advice = settings.advise(MORE_DROPOUT, NARROWER, FEWER_LAYERS, otherwise="give the text less weight")
    is_suspect = ratio < thresholds.ratio_suspect_low if low else ratio > thresholds.ratio_suspect_high
    return f"check the descriptions first; then {advice}" if is_suspect else advice


def text_scale_findings(values: Quantities, thresholds: Thresholds, settings: Settings = UNKNOWN) -> list[Finding]:
    """Exploding or collapsed is blocking, by size; a drift from a learnable start of 12 is information."""
    scale = quantity(values, "text_scale")
    if scale is None:
        return []
    size = abs(scale)

    def of_scale(level: Any, rule: str, threshold: float, what: str, advice: str) -> list[Finding]:
        name = "text_scale" if scale > 0 else "the size of text_scale (which is negative)"
        return [
            finding(
                level,
                rule,
                size,
                threshold,
                f"{what}: {name} {{value}} is {'above' if size > threshold else 'below'} {{threshold}}",
                advice,
                settings.layer,
            )
        ]

    if size > thresholds.text_scale_exploding:
        advice = settings.advise(SCALE_20, HALF_RATE, otherwise=settings.advise(SLOWER, otherwise="train more slowly"))
        return of_scale(
            "blocking", "text_scale_exploding", thresholds.text_scale_exploding, "the text scale explodes", advice
        )
    if size < thresholds.text_scale_collapsed:
        contrast = settings.advise(CONTRAST)
        advice = f"{contrast}; check the texts" if contrast else "check the texts"
        return of_scale(
            "blocking", "text_scale_collapsed", thresholds.text_scale_collapsed, "the text scale collapsed", advice
        )
    if (
        not settings.value("learnable_scale")
        or quantity(settings.options, "initial_scale") != thresholds.text_scale_start
    ):
        return []
    if size > thresholds.text_scale_rising:
        advice = f"start there: a larger {settings.section}.initial_scale"
        return of_scale("info", "text_scale_rising", thresholds.text_scale_rising, "the text wants more weight", advice)
    if size < thresholds.text_scale_falling:
        advice = f"start there: a smaller {settings.section}.initial_scale; or check the texts"
        return of_scale(
            "info", "text_scale_falling", thresholds.text_scale_falling, "the text is being weakened", advice
        )
    return []


def gate_findings(values: Quantities, thresholds: Thresholds, settings: Settings = UNKNOWN) -> list[Finding]:
    """Suppressed or saturated effective gate of a late fusion, low text quality; not while `gate_warmup` opens it."""
    opened = quantity(values, "gate_open")
    if opened is not None and opened < 1:
        return []
    gate, quality = quantity(values, "gate_mean"), quantity(values, "quality")
    findings, layer = [], settings.layer
    if gate is not None and gate < thresholds.gate_suppressed:
        advice = settings.advise(late_form("simplified_gated"), late_form("balanced_gated"), otherwise="one gate fewer")
        pattern = "the gate suppresses the text: mean {value} is below {threshold}"
        findings.append(finding("warning", "gate_suppressed", gate, thresholds.gate_suppressed, pattern, advice, layer))
    if gate is not None and gate > thresholds.gate_saturated:
        advice = settings.advise(gate_warmup(settings.steps), SLOWER, otherwise="a smaller learning rate")
        pattern = "the gate is saturated: mean {value} is above {threshold}"
        findings.append(finding("warning", "gate_saturated", gate, thresholds.gate_saturated, pattern, advice, layer))
    if quality is not None and quality < thresholds.gate_quality_low:
        advice = settings.advise(TEXT_QUALITY, otherwise="check the descriptions")
        pattern = "the text is judged poor: quality gate {value} is below {threshold}"
        findings.append(
            finding("warning", "gate_quality", quality, thresholds.gate_quality_low, pattern, advice, layer)
        )
    return findings


def gate_instability(gates: Sequence[float]) -> float | None:
    """sd of a gate over the last third of its epochs, at least three; None for fewer. `gates`: its mean in each."""
    return None if len(gates) < 3 else statistics.pstdev(gates[len(gates) - max(3, len(gates) // 3) :])


def gate_stability_findings(
    gates: Sequence[float], thresholds: Thresholds, settings: Settings = UNKNOWN
) -> list[Finding]:
    """A gate that still moves; `gates`: its mean in every epoch in which no warm-up held it, in order."""
    spread = gate_instability(gates)
    if spread is None or spread <= thresholds.gate_unstable:
        return []
    last = max(3, len(gates) // 3)
    pattern = f"the gate is unstable: sd {{value}} over the last {last} of {len(gates)} epochs is above {{threshold}}"
    advice = settings.advise(gate_warmup(settings.steps), SLOWER, otherwise="a smaller learning rate")
    return [finding("warning", "gate_unstable", spread, thresholds.gate_unstable, pattern, advice, settings.layer)]


def alpha_findings(values: Quantities, thresholds: Thresholds, settings: Settings = UNKNOWN) -> list[Finding]:
    """Flat, expressive or extreme alpha, the gate of a middle fusion; sd and shares over atoms, not over channels."""
    findings = []
    advice = settings.advise(GATE_NORM, SLOWER, otherwise="a smaller learning rate")
    spread, low, high = (quantity(values, name) for name in ("gate_std", "gate_min", "gate_max"))
    if spread is not None and low is not None and high is not None:
        width = high - low
        seen = f"sd {{value}}, range {number(width, thresholds.alpha_flat_range)}"
        if spread <= thresholds.alpha_flat_std and width <= thresholds.alpha_flat_range:
            pattern = f"alpha is flat: {seen}; at most {{threshold}} and {number(thresholds.alpha_flat_range)}"
            findings.append(
                finding("warning", "alpha_flat", spread, thresholds.alpha_flat_std, pattern, advice, settings.layer)
            )
        elif spread >= thresholds.alpha_expressive_std and width >= thresholds.alpha_expressive_range:
            expressive, width_limit = thresholds.alpha_expressive_std, thresholds.alpha_expressive_range
            pattern = f"alpha is expressive: {seen}; from {{threshold}} and {number(width_limit)}"
            findings.append(finding("info", "alpha_expressive", spread, expressive, pattern, "", settings.layer))
    shares = [quantity(values, name) for name in ("gate_share_below_0.1", "gate_share_above_0.9")]
    extreme = sum(share for share in shares if share is not None)
    if extreme > thresholds.alpha_extreme_share:
        pattern = "alpha is closed or saturated: {value} of the atoms are below 0.1 or above 0.9, more than {threshold}"
        limit = thresholds.alpha_extreme_share
        findings.append(finding("warning", "alpha_extreme", extreme, limit, pattern, advice, settings.layer, True))
    return findings
