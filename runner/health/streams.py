"""Health rules of the two streams that a fusion joins: norms, direction, change. Free of torch and pandas.

Graph and text live in spaces of their own, so that their norms and their angle are information.
"""

from __future__ import annotations

from runner.health.findings import Finding, finding, number
from runner.health.quantities import Quantities, quantity
from runner.health.settings import (
    CONTRAST,
    FEWER_LAYERS,
    LARGER_SCALE,
    MORE_DROPOUT,
    OTHER_LAYER,
    SMALLER_SCALE,
    UNKNOWN,
    Settings,
)  # fmt: skip
from runner.health.thresholds import Thresholds


def norm_findings(values: Quantities, thresholds: Thresholds, settings: Settings = UNKNOWN) -> list[Finding]:
    """`norm_ratio` = mean‖h‖/mean‖ũ‖ of atoms and scaled text; `diagnose` proposes the scale that balances them."""
    ratio = quantity(values, "norm_ratio")
    if ratio is None or thresholds.norm_ratio_low <= ratio <= thresholds.norm_ratio_high:
        return []
    low, high = thresholds.norm_ratio_low, thresholds.norm_ratio_high
    pattern = f"graph and text differ in size: norm ratio {{value}}; balanced is {number(low)} to {number(high)}"
    advice = settings.advise(SMALLER_SCALE if ratio < low else LARGER_SCALE)
    advice += "; `analysis diagnose` proposes a number" if advice else ""
    return [finding("info", "norm_ratio", ratio, low if ratio < low else high, pattern, advice, settings.layer)]


def text_norm_findings(values: Quantities, thresholds: Thresholds, settings: Settings = UNKNOWN) -> list[Finding]:
    """`t_norm`, `u_norm`: mean length per √width of the text vector as it comes in and as it is projected."""
    borders = {
        "t_norm": (thresholds.text_norm_in_low, thresholds.text_norm_in_high),
        "u_norm": (thresholds.text_norm_out_low, thresholds.text_norm_out_high),
    }
    findings = []
    for name, (low, high) in borders.items():
        norm = quantity(values, name)
        if norm is not None and not low <= norm <= high:
            pattern = f"{name} {{value}} is outside the usual {number(low)} to {number(high)}"
            threshold, advice = low if norm < low else high, "check the text encoder"
            findings.append(finding("info", name, norm, threshold, pattern, advice, settings.layer))
    return findings


def cosine_findings(values: Quantities, thresholds: Thresholds, settings: Settings = UNKNOWN) -> list[Finding]:
    """Cosine of h and u."""
    cosine = quantity(values, "cosine")
    if cosine is not None and cosine < thresholds.cosine_poor:
        pattern, advice = "graph and text point apart: cosine {value} is below {threshold}", settings.advise(CONTRAST)
        return [finding("info", "cosine_poor", cosine, thresholds.cosine_poor, pattern, advice, settings.layer)]
    if cosine is not None and thresholds.cosine_good_low <= cosine <= thresholds.cosine_good_high:
        high = number(thresholds.cosine_good_high)
        pattern = f"graph and text are well aligned: cosine {{value}} is in {{threshold}} to {high}"
        return [finding("info", "cosine_good", cosine, thresholds.cosine_good_low, pattern, "", settings.layer)]
    return []


def change_findings(values: Quantities, thresholds: Thresholds, settings: Settings = UNKNOWN) -> list[Finding]:
    """`relative_change` = mean‖out − out₀‖/mean‖out₀‖ of a fused layer; out₀: its output with the text term at zero."""
    change = quantity(values, "relative_change")
    if change is None or thresholds.change_idle <= change <= thresholds.change_drowning:
        return []
    rule, threshold = "fusion_drowning", thresholds.change_drowning
    pattern = "the text drowns the graph: it changes the fusion's output by {value}, more than {threshold}"
    advice = settings.advise(SMALLER_SCALE, MORE_DROPOUT, FEWER_LAYERS, otherwise="give the text less weight")
    if change < thresholds.change_idle:
        rule, threshold = "fusion_idle", thresholds.change_idle
        pattern = "the fusion is idle: the text changes its output by {value}, less than {threshold}"
        advice = settings.advise(LARGER_SCALE, OTHER_LAYER, otherwise="give the text more weight, or fuse elsewhere")
    return [finding("warning", rule, change, threshold, pattern, advice, settings.layer, True)]


def reliance_findings(reliance: float | None, thresholds: Thresholds) -> list[Finding]:
    """`reliance`: relative rise of the validation metric where the validation texts are shuffled."""
    if reliance is None or reliance >= thresholds.reliance_low:
        return []
    return [
        finding(
            "warning",
            "reliance_low",
            reliance,
            thresholds.reliance_low,
            "the model does not use its text: shuffled texts make validation worse by {value}, less than {threshold}",
            "compare with the same model without text; check what the texts say",
            percent=True,
        )
    ]
