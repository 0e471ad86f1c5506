"""Is a run healthy? All rules applied to what a run logged, live or afterwards. Free of torch and pandas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.files import as_number
from runner.health.findings import Finding, by_severity, finding, one_verdict_each
from runner.health.fusion import (
    alpha_findings,
    gate_findings,
    gate_stability_findings,
    ratio_findings,
    text_scale_findings,
)
from runner.health.quantities import LATE, Quantities, quantity
from runner.health.settings import UNKNOWN, Settings, planned_steps, settings_of
from runner.health.streams import (
    change_findings,
    cosine_findings,
    norm_findings,
    reliance_findings,
    text_norm_findings,
)
from runner.health.thresholds import DEFAULT, Thresholds
from runner.health.training import (
    History,
    constant_findings,
    non_finite_findings,
    over_fitted_findings,
    plateau_findings,
    series,
    spike_findings,
    transfer_findings,
    under_trained_findings,
)

NO_PARAMS: Mapping[str, Any] = {}


def fusion_findings(
    layers: Mapping[str, Quantities],
    thresholds: Thresholds = DEFAULT,
    params: Mapping[str, Any] = NO_PARAMS,
    steps: int | None = None,
    fusion_rows: Sequence[Quantities] = (),
    warm: int = 0,
) -> list[Finding]:
    """Findings of every fused layer, its verdict first; `layers`: layer → quantities of one epoch.

    `params`: of the run, so that advice names only its own keys; `steps`: how many optimiser steps it takes in all;
    `fusion_rows`: the rows of fusion_weights.csv; `warm`: the last epoch in which `gate_warmup` held the gate.
    """
    findings: list[Finding] = []
    for layer, values in layers.items():
        settings = settings_of(params, layer, steps)
        for rule in (
            ratio_findings, text_scale_findings, gate_findings if layer == LATE else alpha_findings,
            norm_findings, text_norm_findings, cosine_findings, change_findings, declared_findings,
        ):  # fmt: skip
            findings += rule(values, thresholds, settings)
    gates = late_gates(fusion_rows, warm)
    return one_verdict_each(findings + gate_stability_findings(gates, thresholds, settings_of(params, LATE, steps)))


def late_gates(fusion_rows: Sequence[Quantities], warm: int = 0) -> list[float]:
    """The mean gate of a late fusion in every epoch after `warm`; `fusion_rows`: rows of fusion_weights.csv."""
    rows = [row for row in fusion_rows if row.get("layer") == LATE and (as_number(row.get("epoch")) or warm + 1) > warm]
    return [gate for row in rows if (gate := quantity(row, "gate_mean")) is not None]


def warm_epochs(history: History, params: Mapping[str, Any]) -> int:
    """The last epoch in which `gate_warmup` held the late gate below its value; 0 where none did."""
    steps = as_number(settings_of(params, LATE).value("gate_warmup")) or 0
    held = [as_number(record.get("epoch")) for record in history if (as_number(record.get("step")) or steps) < steps]
    return int(max((epoch for epoch in held if epoch is not None), default=0))


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


@dataclass(frozen=True)
class Logs:
    """What a run has logged so far."""

    history: History = ()  # metrics.jsonl, one record per epoch
    fusion_rows: Sequence[Quantities] = ()  # fusion_weights.csv, numbers as numbers
    diagnostics: Sequence[Mapping[str, Any]] = ()  # diagnostics.jsonl, at least its newest line


@dataclass(frozen=True)
class Ending:
    """What a completed run says of itself."""

    metric: str = "val_mae"  # that ranks
    mode: str = "min"
    metrics: Mapping[str, Any] = field(default_factory=dict)  # of result.json
    best_epoch: int | None = None
    epochs: int | None = None
    fusion: Mapping[str, Quantities] = field(default_factory=dict)  # at the best epoch
    prediction_sd: float | None = None  # of the validation split
    target_sd: float | None = None


def curve_findings(history: History, thresholds: Thresholds, params: Mapping[str, Any]) -> list[Finding]:
    """Findings of the curves so far: non-finite numbers and spikes."""
    return non_finite_findings(history, settings_of(params)) + spike_findings(series(history, "train_loss"), thresholds)


def live_findings(logs: Logs, params: Mapping[str, Any] = NO_PARAMS, thresholds: Thresholds = DEFAULT) -> list[Finding]:
    """What can be said while a run trains: worst first."""
    return by_severity(
        curve_findings(logs.history, thresholds, params)
        + declared_findings(logs.history[-1] if logs.history else {}, thresholds)
        + _of_fusion(logs, latest_layers(logs.fusion_rows, logs.diagnostics), params, thresholds)
    )


def finished_findings(
    logs: Logs, ending: Ending, params: Mapping[str, Any] = NO_PARAMS, thresholds: Thresholds = DEFAULT
) -> list[Finding]:
    """What can be said of a completed run: worst first; its fusion at the best epoch."""
    history, metric = logs.history, ending.metric
    curve, rates = series(history, metric), series(history, "learning_rate")
    findings = curve_findings(history, thresholds, params) + plateau_findings(curve, ending.mode, thresholds)
    findings += under_trained_findings(ending.best_epoch, ending.epochs, rates, thresholds)
    if ending.mode == "min" and metric.startswith("val_"):
        best = next((record for record in history if record.get("epoch") == ending.best_epoch), {})
        train, val = (quantity(best, name) for name in (metric.replace("val_", "train_", 1), metric))
        findings += over_fitted_findings(train, val, curve, thresholds)
        test = metric.replace("val_", "test_", 1)
        errors = [quantity(ending.metrics, name) for name in (metric, test, f"{test}_of_mean")]
        findings += transfer_findings(errors[0], errors[1], errors[2], thresholds)
    findings += constant_findings(ending.prediction_sd, ending.target_sd, thresholds)
    findings += reliance_findings(quantity(ending.metrics, "reliance"), thresholds)
    findings += declared_findings({**(history[-1] if history else {}), **ending.metrics}, thresholds)
    layers = latest_layers(logs.fusion_rows, logs.diagnostics)
    for layer, values in ending.fusion.items():
        layers.setdefault(layer, {}).update(values)
    return by_severity(one_verdict_each(findings + _of_fusion(logs, layers, params, thresholds)))


def _of_fusion(
    logs: Logs, layers: Mapping[str, Quantities], params: Mapping[str, Any], thresholds: Thresholds
) -> list[Finding]:
    steps, warm = planned_steps(logs.history, params), warm_epochs(logs.history, params)
    return fusion_findings(layers, thresholds, params, steps, logs.fusion_rows, warm)


def declared_findings(values: Quantities, thresholds: Thresholds, settings: Settings = UNKNOWN) -> list[Finding]:
    """A declared quantity outside its borders: a warning with what the task says of it."""
    findings = []
    for each in thresholds.quantities:
        value = quantity(values, each.name)
        for side, border, word, what, advice in (
            ("low", each.low, "below", each.below, each.below_advice),
            ("high", each.high, "above", each.above, each.above_advice),
        ):
            if value is not None and border is not None and (value < border if side == "low" else value > border):
                rule = f"{each.stem}_{side}" + (f"_{each.member}" if each.group else "")
                pattern = f"{what or each.name} {{value}} is {word} {{threshold}}"
                percent = each.unit == "%"
                findings.append(finding("warning", rule, value, border, pattern, advice, settings.layer, percent))
    return findings
