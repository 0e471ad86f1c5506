"""Predictions of a run: predictions.csv with the columns id, split, target, prediction. Free of torch and pandas."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

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
    def by_id(self) -> dict[str, tuple[float, float]]:
        """id → (target, prediction)."""
        pairs = zip(self.targets, self.predictions, strict=True)
        return dict(zip(self.ids, pairs, strict=True))


def read_predictions(path: Path | str, split: str) -> Predictions:
    """The rows of `split` whose numbers can be a property; empty when the file is missing or has other columns."""
    data = read_bytes(path)
    text = data[: data.rfind(b"\n") + 1].decode("utf-8", "replace")
    rows = csv.reader(text.splitlines())
    header = next(rows, [])
    found = Predictions([], [], [])
    if not set(COLUMNS) <= set(header):
        return found
    at_id, at_split, at_target, at_prediction = (header.index(name) for name in COLUMNS)
    for row in rows:
        if len(row) != len(header) or row[at_split] != split:
            continue
        try:
            target, prediction = float(row[at_target]), float(row[at_prediction])
        except ValueError:
            continue
        if abs(target) < LARGEST and abs(prediction) < LARGEST:  # NaN compares false
            found.ids.append(row[at_id])
            found.targets.append(target)
            found.predictions.append(prediction)
    return found


@dataclass(frozen=True)
class Spread:
    """How the validation predictions of a run vary; None where there are fewer than two."""

    prediction_sd: float | None
    target_sd: float | None
    mean_predictor: float | None  # mean |target − mean target|, unit of the target


def spread(found: Predictions) -> Spread:
    """Standard deviations (over n) of predictions and targets."""
    if len(found) < 2:
        return Spread(None, None, None)
    n = len(found)
    mean = math.fsum(found.targets) / n
    return Spread(
        standard_deviation(found.predictions),
        standard_deviation(found.targets),
        math.fsum(abs(target - mean) for target in found.targets) / n,
    )
