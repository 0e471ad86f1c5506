"""What a program reported: points (epoch, name, value), and one record per epoch made of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from jobs.reading.schema import MetricsParams

Record = dict[str, Any]  # `epoch`, counted from 1, and metric → number; what was not reported is left out
_MOST_EPOCHS = 10**9


class Point(NamedTuple):
    """One number that a program reported; NaN and infinities are reported numbers too."""

    epoch: int  # counted from 1
    name: str  # ours
    value: float


def has_epochs(rows: Sequence[Any], params: MetricsParams) -> bool:
    """Whether a row names its epoch; else rows are counted."""
    return any(_epoch_of(row, params) is not None for row in rows)


def points(rows: Sequence[Any], params: MetricsParams, offset: int = 0) -> Iterator[Point]:
    """The numbers in `rows` under our names. A row without an epoch belongs to the epoch of the row before it.

    offset: epochs before the first row, where no row names its epoch. Empty text, null and text that is no number mean
    "not reported".
    """
    named = has_epochs(rows, params)
    epoch = None if named else offset
    for row in rows:
        if not named:
            epoch = (epoch or 0) + 1
        elif (reported := _epoch_of(row, params)) is not None:
            epoch = reported
        if epoch is not None:
            for name, place in _names(row, params).items():
                if (value := number(_at(row, place))) is not None:
                    yield Point(epoch, name, value)


def merged(reported: Iterable[Point]) -> list[Record]:
    """One record per epoch, by epoch; of a value that was reported twice the later one counts.

    A program that resumed from an older checkpoint goes back: what it reports of an earlier epoch a second time
    replaces that epoch and all after it. Validation rows that come late are new names there, and are added.
    """
    records: dict[int, Record] = {}
    newest = 0
    for epoch, name, value in reported:
        if epoch < newest and name in records.get(epoch, {}):
            records = {other: record for other, record in records.items() if other < epoch}
            newest = epoch
        records.setdefault(epoch, {"epoch": epoch})[name] = value
        newest = max(newest, epoch)
    return [records[epoch] for epoch in sorted(records)]


def number(value: Any) -> float | None:
    """`value` as a number; None where it is none. An integer beyond the floats is infinite."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    except OverflowError:
        return math.inf
    return math.nan if math.isnan(found) else found  # one object, so that equal records are equal


def _names(row: Any, params: MetricsParams) -> dict[str, str | int]:
    names = params.names or {name: name for name in row if isinstance(row, dict)}
    return {ours: theirs for ours, theirs in names.items() if ours != "epoch"}


def _epoch_of(row: Any, params: MetricsParams) -> int | None:
    reported = number(_at(row, params.names.get("epoch", "epoch")))
    if reported is None or not 0 <= reported < _MOST_EPOCHS:
        return None
    return math.ceil(reported) + 1 - params.first_epoch  # 0.4 of the first epoch belongs to it


def _at(row: Any, place: str | int) -> Any:
    """What stands at a column, a dotted key, or a place in a list; None where nothing does."""
    if isinstance(row, dict) and place in row:
        return row[place]
    for part in place.split(".") if isinstance(place, str) else [place]:
        if isinstance(row, dict):
            row = row.get(part)
        elif isinstance(row, list) and str(part).isdecimal() and int(part) < len(row):
            row = row[int(part)]
        else:
            return None
    return row
