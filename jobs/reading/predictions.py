"""Predictions of another program: tables with an id, a target and a prediction a row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from jobs.reading.files import Rows, files_of, rows_of
from jobs.reading.points import number, value_at
from jobs.reading.schema import FORMATS, PredictionsParams, SourceParams
from jobs.reading.sources import literal
from runner.config.template import fill, flat

_COLUMNS = ("id", "target", "prediction")


class Prediction(NamedTuple):
    """One item."""

    id: str
    split: str  # val or test
    target: float  # unit of the target
    prediction: float


@dataclass(frozen=True)
class Predictions:
    """Of all splits."""

    rows: list[Prediction] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def read_predictions(folder: Path, params: PredictionsParams | None, values: Mapping[str, Any]) -> Predictions:
    """What the tables in `folder` hold. values: what {names} in paths stand for.

    Nothing is raised for what is missing or damaged: `warnings` says it, with what was found instead.
    """
    result = Predictions()
    for split in ("val", "test"):
        name = getattr(params, split, None)
        if params is not None and name is not None:
            _read_split(result, folder, split, fill(name, values, literal), params)
    return result


def _read_split(result: Predictions, folder: Path, split: str, name: str, params: PredictionsParams) -> None:
    source = SourceParams(file=name, format=None if name.rpartition(".")[2] in FORMATS else "csv")
    files = files_of(folder, name, source)
    if len(files) != 1:
        what = f"{len(files)} files fit" if files else "no such file"
        result.warnings.append(f"predictions.{split}: {name}: {what}")
        return
    try:
        rows = rows_of(files[0], source) or []
    except OSError as error:
        result.warnings.append(f"predictions.{split}: {name} is not read: {error.strerror}")
        return
    result.files.append(files[0])
    places = {column: params.names.get(column, column) for column in _COLUMNS}  # type: ignore[call-overload]
    known, unusable = set(), 0
    for row in rows:
        item, target, prediction = (value_at(row, places[column]) for column in _COLUMNS)
        numbers = number(target), number(prediction)
        text = str(item).strip().encode(errors="replace").decode() if isinstance(item, str | int) else ""
        if not text or text in known or not all(value is not None and math.isfinite(value) for value in numbers):
            unusable += 1
            continue
        known.add(text)
        result.rows.append(Prediction(text, split, *numbers))  # type: ignore[arg-type]
    if unusable:
        result.warnings.append(f"predictions.{split}: {name}: {unusable} of {len(rows)} rows {_why(rows, places)}")


def _why(rows: Rows, places: Mapping[str, str | int]) -> str:
    columns: Sequence[str] = list(flat(rows[0])) if isinstance(rows[0], dict) else []
    if missing := [str(place) for place in places.values() if all(value_at(row, place) is None for row in rows)]:
        return f"are left out: no column {', '.join(missing)}; found {', '.join(columns[:12]) or 'no header'}"
    return "are left out: no id, an id that stands twice, or no number"
