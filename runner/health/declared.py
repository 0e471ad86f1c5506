"""Health rule of the quantities that a task declares, each with its own borders. Free of torch and pandas."""

from __future__ import annotations

from runner.health.findings import Finding, finding
from runner.health.quantities import Quantities, quantity
from runner.health.settings import UNKNOWN, Settings
from runner.health.thresholds import Thresholds


def declared_findings(values: Quantities, thresholds: Thresholds, settings: Settings = UNKNOWN) -> list[Finding]:
    """A declared quantity outside its borders: a warning with what the task says of it."""
    findings = []
    for each in thresholds.quantities:
        value = quantity(values, each.name)
        if value is None:
            continue
        if each.low is not None and value < each.low:
            side, border, what, advice = "low", each.low, each.below, each.below_advice
        elif each.high is not None and value > each.high:
            side, border, what, advice = "high", each.high, each.above, each.above_advice
        else:
            continue
        rule = f"{each.stem}_{side}" + (f"_{each.member}" if each.group else "")
        pattern = f"{what or each.name} {{value}} is {'below' if side == 'low' else 'above'} {{threshold}}"
        findings.append(finding("warning", rule, value, border, pattern, advice, settings.layer, each.unit == "%"))
    return findings
