"""Health rules of the training itself: losses, curves, predictions, all variants together. Free of torch and pandas."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping, Sequence
from typing import Any

from runner.files import as_number
from runner.health.findings import Finding, finding, number
from runner.health.settings import CLIP, SLOWER, UNKNOWN, Settings
from runner.health.thresholds import Thresholds

History = Sequence[Mapping[str, Any]]  # the records of metrics.jsonl, one an epoch


def series(history: History, name: str) -> list[float]:
    """The values of one metric by epoch; epochs without it are left out, NaN and infinities stay."""
    values = (record.get(name) for record in history)
    floats = (value if value.__class__ is float else as_number(value) for value in values)
    return [value for value in floats if value is not None]


def non_finite_findings(history: History, settings: Settings = UNKNOWN) -> list[Finding]:
    """A loss, metric or gradient norm that is not a number, once."""
    for record in history:
        if _adds_up(record):
            continue
        for name, value in record.items():
            if value.__class__ is float and value - value != 0:  # NaN or infinite
                message = f"{name} is {value} in epoch {record.get('epoch', '?')}"
                advice = settings.advise(SLOWER, CLIP, otherwise="a smaller learning rate") + "; look for bad targets"
                return [Finding("blocking", "non_finite", None, None, message, advice)]
    return []


def _adds_up(record: Mapping[str, Any]) -> bool:
    """Whether the sum of all values is finite, and with it each of them: quick, for a million values an experiment."""
    try:
        total = sum(record.values())
    except (TypeError, OverflowError):  # not numbers alone; an integer beyond the floats
        return False
    return bool(total - total == 0)


def spike_findings(losses: Sequence[float], thresholds: Thresholds) -> list[Finding]:
    """A loss above `spike` times the median of all losses before it."""
    ordered: list[float] = []
    spikes, highest = 0, 0.0
    for loss in filter(math.isfinite, losses):
        count = len(ordered)
        if count >= 3 and loss > thresholds.spike * ordered[0]:  # the median is no smaller
            median = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
            if median > 0 and loss > thresholds.spike * median:
                spikes, highest = spikes + 1, max(highest, loss / median)
        insort(ordered, loss)
    if not spikes:
        return []
    often, advice = "once" if spikes == 1 else f"{spikes} times", "a smaller learning rate, or more warm-up"
    return [
        finding(
            "warning",
            "loss_spike",
            highest,
            thresholds.spike,
            f"the loss jumped {often}, up to {{value}} × its running median (limit {{threshold}})",
            advice,
        )
    ]


def plateau_findings(values: Sequence[float], mode: str, thresholds: Thresholds) -> list[Finding]:
    """No gain of the best validation metric in the last part of the epochs."""
    last = _last_part(values, thresholds)
    if last < 2 or not all(map(math.isfinite, values)):
        return []
    best = min if mode == "min" else max
    before, after = best(values[:-last]), best(values)
    gain = abs(after - before) / abs(before) if before else 0.0
    if gain >= thresholds.plateau_gain:
        return []
    return [
        finding(
            "info",
            "plateau",
            gain,
            thresholds.plateau_gain,
            f"plateau: the last {last} of {len(values)} epochs gained {{value}}, less than {{threshold}}",
            "fewer epochs would do; or another schedule",
            percent=True,
        )
    ]


def _last_part(values: Sequence[float], thresholds: Thresholds) -> int:
    return int(len(values) * thresholds.plateau_share)


def under_trained_findings(
    best_epoch: int | None, epochs: int | None, rates: Sequence[float], thresholds: Thresholds
) -> list[Finding]:
    """The best epoch is the last, and the learning rate has not ended at zero, where that would be no surprise.

    `rates`: the learning rate of each epoch; without it nobody knows, and it is information.
    """
    annealed = bool(rates) and rates[-1] <= thresholds.annealed * max(rates)
    if best_epoch is None or epochs is None or epochs < 2 or best_epoch < epochs or annealed:
        return []
    pattern = "under-trained: the best epoch ({value}) is the last of {threshold}"
    advice = "more epochs" + ("" if rates else ", unless the learning rate ended at zero")
    return [finding("warning" if rates else "info", "under_trained", best_epoch, epochs, pattern, advice)]


def rise(values: Sequence[float]) -> float:
    """Relative rise of a least-squares line through `values`, from its start to its end; 0 for fewer than two."""
    n = len(values)
    if n < 2 or not all(map(math.isfinite, values)):
        return 0.0
    middle, mean = (n - 1) / 2, math.fsum(values) / n
    slope = math.fsum((i - middle) * (value - mean) for i, value in enumerate(values))
    slope /= math.fsum((i - middle) ** 2 for i in range(n))
    start = mean - slope * middle
    return slope * (n - 1) / start if start > 0 else 0.0


def over_fitted_findings(
    train_error: float | None, val_error: float | None, curve: Sequence[float], thresholds: Thresholds
) -> list[Finding]:
    """Validation over train error at the best epoch; a warning where it is far, or where validation rises at the end.

    `curve`: the validation error of every epoch.
    """
    if not train_error or val_error is None or train_error < 0 or not val_error > thresholds.over_fitted * train_error:
        return []
    ratio, last = val_error / train_error, _last_part(curve, thresholds)
    rising = rise(curve[len(curve) - last :]) > thresholds.rising
    far = ratio > thresholds.over_fitted_far
    threshold = thresholds.over_fitted_far if far else thresholds.over_fitted
    pattern = "over-fitted: validation error is {value} × the train error (limit {threshold})"
    pattern += f", and rises over the last {last} of {len(curve)} epochs" if rising else ""
    return [
        finding(
            "warning" if far or rising else "info",
            "over_fitted",
            ratio,
            threshold,
            pattern,
            "more items, more dropout or weight decay, early stopping",
        )
    ]


def standard_deviation(values: Sequence[float]) -> float | None:
    """Over n; None for fewer than two values."""
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))


def constant_findings(prediction_sd: float | None, target_sd: float | None, thresholds: Thresholds) -> list[Finding]:
    """Validation predictions that hardly vary."""
    if prediction_sd is None or not target_sd or prediction_sd >= thresholds.constant_spread * target_sd:
        return []
    spread, limit = prediction_sd / target_sd, thresholds.constant_spread
    return [
        finding(
            "blocking",
            "constant_predictions",
            spread,
            limit,
            "constant predictions: they spread {value} as much as the targets (limit {threshold})",
            "check the learning rate and the targets; train longer",
            percent=True,
        )
    ]


def transfer_findings(
    val: float | None, test: float | None, test_of_mean: float | None, thresholds: Thresholds
) -> list[Finding]:
    """Test far worse than validation, or no better than predicting the mean: shown, never used for choosing."""
    advice = "compare how the two splits were drawn; this takes no part in the choice"
    if test is not None and test_of_mean and test >= test_of_mean:
        pattern = "bad transfer: the test error is {value} × that of predicting the mean, not below {threshold}"
        return [finding("warning", "transfer", test / test_of_mean, 1.0, pattern, advice)]
    if test is not None and val and val > 0 and test > thresholds.transfer * val:
        pattern = "bad transfer: the test error is {value} × the validation error (limit {threshold})"
        return [finding("warning", "transfer", test / val, thresholds.transfer, pattern, advice)]
    return []


def weak_findings(
    errors: Sequence[float],
    mean_predictor: float | None,
    thresholds: Thresholds,
    params: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """All variants together: `errors` their validation errors, `mean_predictor` the error of predicting the mean."""
    if not errors or not mean_predictor or min(errors) <= thresholds.weak_share * mean_predictor:
        return []
    share, more = (
        min(errors) / mean_predictor,
        [_twice(params, *key) for key in (("data", "train"), ("train", "epochs"))],
    )
    of_mean = f"{{value}} of the error of predicting the mean ({number(mean_predictor)}), above {{threshold}}"
    return [
        finding(
            "warning",
            "all_weak",
            share,
            thresholds.weak_share,
            f"every variant is weak: the best has {of_mean}",
            f"more items{more[0]}, more epochs{more[1]}, half or twice the learning rate",
            percent=True,
        )
    ]


def _twice(params: Mapping[str, Any] | None, section: str, key: str) -> str:
    """` (data.train: 1000)` where the runs have 500."""
    values = (params or {}).get(section)
    present = as_number(values.get(key)) if isinstance(values, Mapping) else None
    return f" ({section}.{key}: {2 * present:g})" if present else ""


def alike_findings(values: Sequence[float], thresholds: Thresholds) -> list[Finding]:
    """All variants together: their metrics lie within 1 % of each other."""
    if len(values) < 2 or not min(map(abs, values)):
        return []
    spread = (max(values) - min(values)) / min(map(abs, values))
    if spread > thresholds.alike:
        return []
    pattern = (
        f"all {len(values)} variants lie within {{value}} of each other (limit {{threshold}}): normal on little data"
    )
    return [
        finding(
            "info",
            "all_alike",
            spread,
            thresholds.alike,
            pattern,
            "take the simplest, or go on to the next stage",
            percent=True,
        )
    ]
