"""predictions.csv of a run."""

from __future__ import annotations

import csv
from collections.abc import Iterable

from runner.files import replacing
from runner.rundir.layout import RunDir


def write_predictions(run: RunDir, rows: Iterable[tuple[str, str, float, float]]) -> None:
    """Replace the file; `rows`: id, split, target, prediction, the numbers with all their digits."""
    cells = [(item, split, repr(target), repr(prediction)) for item, split, target, prediction in rows]
    with replacing(run.predictions) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("id", "split", "target", "prediction"), *cells])
