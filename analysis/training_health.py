"""Health rules of the training itself: losses, curves, predictions, all variants together. Free of torch and pandas."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.findings import Finding, number
from analysis.reading import finite
from analysis.thresholds import Thresholds

History = Sequence[Mapping[str, Any]]  # the records of metrics.jsonl, one an epoch


def series(history: History, name: str) -> list[float]:
    """The values of one metric by epoch; epochs without it are left out, NaN and infinities stay."""
    values = [record.get(name) for record in history]
    return [value for value in map(_as_float, values) if value is not None]


def _as_float(value: Any) -> float | None:
    return value if value.__class__ is float else finite(value)


def non_finite_findings(history: History) -> list[Finding]:
    """A loss, metric or gradient norm that is not a number, once."""
    for record in history:
        if _adds_up(record):
            continue
        for name, value in record.items():
            if value.__class__ is float and value - value != 0:  # NaN or infinite
                message = f"{name} is {value} in epoch {record.get('epoch', '?')}"
                advice = "a smaller learning rate, train.gradient_clip: 1.0; look for bad targets"
                return [Finding("blocking", "non_finite", None, None, message, advice)]
    return []


def _adds_up(record: Mapping[str, Any]) -> bool:
    """Whether the sum of all values is finite, and with it each of them: quick, for a million values an experiment."""
    try:
        total = sum(record.values())
    except (TypeError, OverflowError):  # not numbers alone; an integer beyond the floats
        return False
    return bool(total - total == 0)


def spike_findings(losses: Sequence[float], t: Thresholds) -> list[Finding]:
    """A loss above `spike` times the median of all losses before it."""
    ordered: list[float] = []
    spikes, highest = 0, 0.0
    for loss in losses:
        if not math.isfinite(loss):
            continue
        count = len(ordered)
        if count >= 3 and loss > t.spike * ordered[0]:  # the median is no smaller
            median = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
            if median > 0 and loss > t.spike * median:
                spikes, highest = spikes + 1, max(highest, loss / median)
        insort(ordered, loss)
    if not spikes:
        return []
    often = "once" if spikes == 1 else f"{spikes} times"
    message = f"the loss jumped {often}, up to {number(highest)} × its running median (limit {number(t.spike)})"
    return [Finding("warning", "loss_spike", highest, t.spike, message, "a smaller learning rate, or more warm-up")]


def plateau_findings(values: Sequence[float], mode: str, t: Thresholds) -> list[Finding]:
    """No gain of the best validation metric in the last part of the epochs."""
    last = int(len(values) * t.plateau_share)
    if last < 2 or not all(map(math.isfinite, values)):
        return []
    best = min if mode == "min" else max
    before, after = best(values[:-last]), best(values)
    gain = abs(after - before) / abs(before) if before else 0.0
    if gain >= t.plateau_gain:
        return []
    message = f"plateau: the last {last} epochs gained {gain:.2%}, less than {t.plateau_gain:.0%}"
    return [Finding("info", "plateau", gain, t.plateau_gain, message, "fewer epochs would do; or another schedule")]


def under_trained_findings(best_epoch: int | None, epochs: int | None) -> list[Finding]:
    """The best epoch is the last one."""
    if best_epoch is None or epochs is None or epochs < 2 or best_epoch < epochs:
        return []
    message = f"under-trained: the best epoch ({best_epoch}) is the last"
    return [Finding("warning", "under_trained", float(best_epoch), float(epochs), message, "more epochs")]


def over_fitted_findings(train_error: float | None, val_error: float | None, t: Thresholds) -> list[Finding]:
    """Validation error over train error, both in the unit of the target."""
    if train_error is None or val_error is None or not train_error > 0 or not val_error > t.over_fitted * train_error:
        return []
    ratio = val_error / train_error
    message = f"over-fitted: validation error is {number(ratio)} × the train error (limit {number(t.over_fitted)})"
    advice = "more crystals, more dropout or weight decay, early stopping"
    return [Finding("warning", "over_fitted", ratio, t.over_fitted, message, advice)]


def constant_findings(prediction_sd: float | None, target_sd: float | None, t: Thresholds) -> list[Finding]:
    """Validation predictions that hardly vary."""
    if prediction_sd is None or not target_sd:
        return []
    spread = prediction_sd / target_sd
    if spread >= t.constant_spread:
        return []
    message = f"constant predictions: they spread {spread:.2%} as much as the targets (limit {t.constant_spread:.0%})"
    advice = "check the learning rate and the targets; train longer"
    return [Finding("blocking", "constant_predictions", spread, t.constant_spread, message, advice)]


def weak_findings(errors: Sequence[float], mean_predictor: float | None, t: Thresholds) -> list[Finding]:
    """All variants together: `errors` their validation errors, `mean_predictor` the error of predicting the mean."""
    if not errors or not mean_predictor or min(errors) <= t.weak_share * mean_predictor:
        return []
    share = min(errors) / mean_predictor
    seen = f"the best has {share:.0%} of the error of predicting the mean ({number(mean_predictor)})"
    message = f"every variant is weak: {seen}"
    advice = "more crystals (data.train: 1000), more epochs (30), other learning rates (5e-4, 2e-3)"
    return [Finding("warning", "all_weak", share, t.weak_share, message, advice)]


def alike_findings(values: Sequence[float], t: Thresholds) -> list[Finding]:
    """All variants together: their metrics lie within 1 % of each other."""
    if len(values) < 2 or not min(map(abs, values)):
        return []
    spread = (max(values) - min(values)) / min(map(abs, values))
    if spread > t.alike:
        return []
    message = f"all {len(values)} variants lie within {spread:.2%} of each other: normal on little data"
    advice = "take the simplest, or go on to the next stage"
    return [Finding("info", "all_alike", spread, t.alike, message, advice)]
