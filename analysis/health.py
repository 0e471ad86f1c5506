"""Is a run healthy? All rules applied to what a run logged, live or afterwards. Free of torch and pandas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.findings import Finding, by_severity
from analysis.fusion_health import (
    LATE,
    Quantities,
    alpha_findings,
    gate_findings,
    gate_stability_findings,
    quantity,
    ratio_findings,
    text_scale_findings,
)
from analysis.guidance_health import guidance_findings
from analysis.stream_health import change_findings, cosine_findings, norm_findings, text_norm_findings
from analysis.thresholds import DEFAULT, Thresholds
from analysis.training_health import (
    History,
    constant_findings,
    non_finite_findings,
    over_fitted_findings,
    plateau_findings,
    series,
    spike_findings,
    under_trained_findings,
)


def fusion_findings(
    layers: Mapping[str, Quantities], t: Thresholds = DEFAULT, initial_scale: float | None = None
) -> list[Finding]:
    """Findings of every fused layer; `layers`: layer → quantities of one epoch."""
    findings: list[Finding] = []
    for layer, values in layers.items():
        findings += ratio_findings(values, t, layer)
        findings += text_scale_findings(values, t, layer, initial_scale)
        findings += (gate_findings if layer == LATE else alpha_findings)(values, t, layer)
        for rule in (norm_findings, text_norm_findings, cosine_findings, change_findings, guidance_findings):
            findings += rule(values, t, layer)
    return findings


def gate_history_findings(fusion_rows: Sequence[Quantities], t: Thresholds = DEFAULT) -> list[Finding]:
    """A late gate that is still moving; `fusion_rows`: the rows of fusion_weights.csv, numbers as numbers."""
    by_layer: dict[str, list[float]] = {}
    for row in fusion_rows:
        gate = quantity(row, "gate_mean")
        if gate is not None and row.get("layer") == LATE:
            by_layer.setdefault(str(row.get("layer")), []).append(gate)
    return [found for layer, gates in by_layer.items() for found in gate_stability_findings(gates, t, layer)]


def by_layer(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Layer → quantities of one line of diagnostics.jsonl, which has `layers`, or one layer named by `layer`."""
    layers = record.get("layers")
    if isinstance(layers, Mapping):
        return {str(layer): dict(values) for layer, values in layers.items() if isinstance(values, Mapping)}
    return {str(record["layer"]): dict(record)} if "layer" in record else {}


def latest_layers(
    fusion_rows: Sequence[Quantities], diagnostics: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Layer → its newest quantities, of both logs."""
    layers: dict[str, dict[str, Any]] = {}
    for row in fusion_rows:
        layers.setdefault(str(row.get("layer")), {}).update(row)
    for record in diagnostics:
        for layer, values in by_layer(record).items():
            layers.setdefault(layer, {}).update(values)
    return layers


def curve_findings(history: History, t: Thresholds = DEFAULT) -> list[Finding]:
    """Findings of the curves so far: non-finite numbers and spikes."""
    return non_finite_findings(history) + spike_findings(series(history, "train_loss"), t)


def live_findings(
    history: History,
    fusion_rows: Sequence[Quantities],
    diagnostics: Sequence[Mapping[str, Any]],
    *,
    initial_scale: float | None = None,
    thresholds: Thresholds = DEFAULT,
) -> list[Finding]:
    """What can be said while a run trains: worst first.

    `history`, `fusion_rows`, `diagnostics`: the records so far of metrics.jsonl, fusion_weights.csv, diagnostics.jsonl.
    """
    findings = curve_findings(history, thresholds)
    findings += fusion_findings(latest_layers(fusion_rows, diagnostics), thresholds, initial_scale)
    findings += gate_history_findings(fusion_rows, thresholds)
    return by_severity(findings)


def finished_findings(
    history: History,
    *,
    metric: str,
    mode: str,
    best_epoch: int | None,
    epochs: int | None,
    prediction_sd: float | None,
    target_sd: float | None,
    thresholds: Thresholds = DEFAULT,
) -> list[Finding]:
    """What can be said of the training of a completed run; `prediction_sd`, `target_sd`: of the validation split."""
    t = thresholds
    findings = curve_findings(history, t) + plateau_findings(series(history, metric), mode, t)
    findings += under_trained_findings(best_epoch, epochs)
    best = next((record for record in history if record.get("epoch") == best_epoch), {})
    train, val = (quantity(best, name) for name in (metric.replace("val_", "train_", 1), metric))
    findings += over_fitted_findings(train, val, t) if mode == "min" and metric.startswith("val_") else []
    findings += constant_findings(prediction_sd, target_sd, t)
    return by_severity(findings)
