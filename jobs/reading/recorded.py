"""What was read of another program, in the files of a run: logs, predictions, and its result."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jobs.context import RunContext
from jobs.reading.fusion import at_epoch
from jobs.reading.history import Epoch
from jobs.reading.predictions import Predictions
from jobs.reading.schema import MetricsParams
from jobs.task import Outcome

NO_METRICS = frozenset(("epoch", "attempt", "time", "step", "seconds", "learning_rate"))
_APART = 0.05  # relative difference between a metric and the same of the predictions
_ERRORS: dict[str, Callable[[Sequence[float]], float]] = {
    "mae": lambda errors: math.fsum(map(abs, errors)) / len(errors),
    "mse": lambda errors: math.fsum(error * error for error in errors) / len(errors),
    "rmse": lambda errors: math.sqrt(math.fsum(error * error for error in errors) / len(errors)),
}


def log_all(context: RunContext, epochs: Iterable[Epoch], predictions: Predictions) -> None:
    """Replace the logs and the predictions of a run."""
    context.rewind(0)
    for epoch in epochs:
        context.record({"epoch": epoch.number, **epoch.metrics})
        context.record_layers(epoch.number, epoch.layers, ())
    if predictions.rows:
        context.write_predictions(predictions.rows)
    else:
        context.directory.predictions.unlink(missing_ok=True)


def outcome_of(
    epochs: Sequence[Epoch], predictions: Predictions, params: MetricsParams, notes: Iterable[str] = (), **extra: Any
) -> Outcome | None:
    """The epoch with the best followed metric; None where no epoch reported it. notes: for the summary to say."""
    scored = [epoch for epoch in epochs if math.isfinite(epoch.metrics.get(params.follow, math.nan))]
    if not scored:
        return None
    best = (min if params.mode == "min" else max)(scored, key=lambda epoch: epoch.metrics[params.follow])
    metrics = {name: value for name, value in best.metrics.items() if name not in NO_METRICS and math.isfinite(value)}
    once = _reported_once(epochs, metrics)
    metrics |= {name: value for name, (_, value) in once.items()}
    layers = at_epoch({epoch.number: epoch.layers for epoch in epochs}, best.number)
    lines = [
        *notes,
        *(f"{name} was reported once, with epoch {at}; it is taken for the run" for name, (at, _) in once.items()),
    ]
    lines += [*predictions.warnings, *_of_predictions(metrics, predictions, params.follow)]
    if layers is not None and layers[0] != best.number:
        lines.append(f"the fusion weights are those of epoch {layers[0]}; the best epoch, {best.number}, has none")
    return Outcome(
        metrics, best_epoch=best.number, epochs=epochs[-1].number, fusion=layers[1] if layers else {},
        extra={**extra, "notes": lines},
    )  # fmt: skip


def _reported_once(epochs: Sequence[Epoch], known: Mapping[str, float]) -> dict[str, tuple[int, float]]:
    """Test metrics of a single epoch, as a program reports them that tests once, at its end: name → epoch, value."""
    reported = [
        (name, epoch.number, value)
        for epoch in epochs
        for name, value in epoch.metrics.items()
        if name.startswith("test_") and name not in known and math.isfinite(value)
    ]
    times = Counter(name for name, _, _ in reported)
    return {name: (epoch, value) for name, epoch, value in reported if times[name] == 1}


def _of_predictions(metrics: dict[str, float], predictions: Predictions, follow: str) -> list[str]:
    """Take the test error from the predictions where no epoch reported it; say where the two do not agree."""
    kind = follow.removeprefix("val_")
    lines = []
    for split in ("val", "test"):
        name = f"{split}_{kind}"
        errors = [row.prediction - row.target for row in predictions.rows if row.split == split]
        if kind not in _ERRORS or not errors:
            continue
        value = _ERRORS[kind](errors)
        if name not in metrics:
            metrics[name] = value
            lines.append(f"{name} is that of the predictions of the {split} split")
        elif abs(value - metrics[name]) > _APART * abs(metrics[name]):
            lines.append(f"the {split} predictions have {kind} {value:.4g}, but {name} of the best epoch is "
                         f"{metrics[name]:.4g}: they may belong to another epoch or split")  # fmt: skip
    return lines
