"""Predictions of a run: predictions.csv with the columns id, split, target, prediction. Free of torch and pandas."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from analysis.collect.reading import read_bytes
from runner.health.training import standard_deviation

COLUMNS = ("id", "split", "target", "prediction")
LARGEST = 1e150  # no property is larger; the squares of larger numbers, and their sums, are no floats


@dataclass(frozen=True)
class Predictions:
    """Of one split, in the order of the file."""

    ids: list[str]
    targets: list[float]  # unit of the target
    predictions: list[float]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def rows(self) -> list[dict[str, str | float]]:
        """{id, target, prediction} of each."""
        return [
            {"id": name, "target": target, "prediction": prediction}
            for name, target, prediction in zip(self.ids, self.targets, self.predictions, strict=True)
        ]

    @property
    def by_id(self) -> dict[str, tuple[float, float]]:
        """id → (target, prediction)."""
        return dict(zip(self.ids, zip(self.targets, self.predictions, strict=True), strict=True))


def joined(parts: Sequence[Predictions]) -> Predictions:
    """All of them, one after another."""
    columns = ("ids", "targets", "predictions")
    return Predictions(*([value for part in parts for value in getattr(part, name)] for name in columns))


def read_predictions(path: Path | str, split: str) -> Predictions:
    """The rows of `split` whose numbers can be a property; empty when the file is missing or has other columns."""
    data = read_bytes(path)
    rows = csv.reader(data[: data.rfind(b"\n") + 1].decode("utf-8", "replace").splitlines())
    header = next(rows, [])
    result = Predictions([], [], [])
    if not set(COLUMNS) <= set(header):
        return result
    at_id, at_split, at_target, at_prediction = (header.index(name) for name in COLUMNS)
    for row in rows:
        if len(row) != len(header) or row[at_split] != split:
            continue
        try:
            target, prediction = float(row[at_target]), float(row[at_prediction])
        except ValueError:
            continue
        if abs(target) < LARGEST and abs(prediction) < LARGEST:  # NaN compares false
            result.ids.append(row[at_id])
            result.targets.append(target)
            result.predictions.append(prediction)
    return result


@dataclass(frozen=True)
class Spread:
    """How the validation predictions of a run vary; None where there are fewer than two."""

    prediction_sd: float | None = None
    target_sd: float | None = None
    mean_predictor: float | None = None  # mean |target − mean target|, unit of the target


def spread(predictions: Predictions) -> Spread:
    """Standard deviations (over n) of predictions and targets."""
    if len(predictions) < 2:
        return Spread()
    targets = predictions.targets
    deviation = fmean(abs(target - mean) for mean in [fmean(targets)] for target in targets)
    return Spread(standard_deviation(predictions.predictions), standard_deviation(targets), deviation)
