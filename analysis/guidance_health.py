"""Health rule of guidance: how a model of several modalities weighs them. Free of torch and pandas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.findings import Finding
from analysis.reading import finite
from analysis.thresholds import Thresholds

GUIDANCE = "guidance"  # the name under which the weights are logged, as a layer; its quantities are guidance_<modality>


def guidance_weights(values: Mapping[str, Any]) -> dict[str, float]:
    """Modality → its mean weight, of the quantities of one epoch; empty where none are logged."""
    found = {name.removeprefix(f"{GUIDANCE}_"): value for name, value in values.items() if name.startswith(GUIDANCE)}
    return {name: number for name, value in found.items() if (number := finite(value)) is not None}


def guidance_findings(values: Mapping[str, Any], t: Thresholds, layer: str | None = None) -> list[Finding]:
    """A modality that is ignored, or that leaves nothing to the others."""
    findings = []
    for name, weight in guidance_weights(values).items():
        if weight < t.guidance_low:
            message = f"{name} is ignored: guidance weight {weight:.1%} is below {t.guidance_low:.0%}"
            advice = f"check the {name} features and their lengths; or do without them"
            findings.append(Finding("warning", f"guidance_low_{name}", weight, t.guidance_low, message, advice, layer))
        elif weight > t.guidance_high:
            message = f"{name} alone decides: guidance weight {weight:.1%} is above {t.guidance_high:.0%}"
            advice = "a larger weight of distillation; check the features of the others"
            findings.append(
                Finding("warning", f"guidance_high_{name}", weight, t.guidance_high, message, advice, layer)
            )
    return findings


def shown_weights(weights: Mapping[str, float]) -> str:
    """`text 61 %, vision 28 %, audio 11 %`; blank for none."""
    return ", ".join(f"{name} {100 * weight:.0f} %" for name, weight in weights.items())
