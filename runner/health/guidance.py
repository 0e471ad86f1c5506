"""Health rule of guidance: how a model of several modalities weighs them. Free of torch and pandas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.files import as_number as finite
from runner.health.findings import Finding, finding
from runner.health.settings import UNKNOWN, Settings
from runner.health.thresholds import Thresholds

GUIDANCE = "guidance"  # the name under which the weights are logged, as a layer; its quantities are guidance_<modality>


def guidance_weights(values: Mapping[str, Any]) -> dict[str, float]:
    """Modality → its mean weight, of the quantities of one epoch; empty where none are logged."""
    found = {name.removeprefix(f"{GUIDANCE}_"): value for name, value in values.items() if name.startswith(GUIDANCE)}
    return {name: number for name, value in found.items() if (number := finite(value)) is not None}


def guidance_findings(values: Mapping[str, Any], t: Thresholds, settings: Settings = UNKNOWN) -> list[Finding]:
    """A modality that is ignored, or that leaves nothing to the others."""
    findings = []
    for name, weight in guidance_weights(values).items():
        if weight < t.guidance_low:
            pattern = f"{name} is ignored: guidance weight {{value}} is below {{threshold}}"
            advice, rule, border = (
                f"check the {name} features and their lengths; or do without them",
                "low",
                t.guidance_low,
            )
        elif weight > t.guidance_high:
            pattern = f"{name} alone decides: guidance weight {{value}} is above {{threshold}}"
            advice, rule, border = "check the features of the others", "high", t.guidance_high
        else:
            continue
        rule = f"guidance_{rule}_{name}"
        findings.append(finding("warning", rule, weight, border, pattern, advice, settings.layer, percent=True))
    return findings


def shown_weights(weights: Mapping[str, float]) -> str:
    """`text 61 %, vision 28 %, audio 11 %`; blank for none."""
    return ", ".join(f"{name} {100 * weight:.0f} %" for name, weight in weights.items())
