"""What a program reported: points (epoch, name, value), and one record per epoch made of them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jobs.reading.schema import FusionParams, SourceParams
from runner.config.template import flat

Name = str | tuple[str, str]  # of a metric; (layer, quantity) of a fusion
Record = dict[Name, float]  # what was not reported is left out
Records = dict[int, Record]  # by epoch, counted from 1
_MOST_EPOCHS = 10**9


class Point(NamedTuple):
    """One number that a program reported; NaN and infinities are reported numbers too."""

    epoch: int  # counted from 1
    name: Name  # ours
    value: float


def has_epochs(rows: Sequence[Any], source: SourceParams) -> bool:
    """Whether a row names its epoch; else rows are counted."""
    return any(_epoch_of(row, source, 1) is not None for row in rows)


def points(rows: Sequence[Any], source: SourceParams, first_epoch: int = 1, offset: int = 0) -> Iterator[Point]:
    """The numbers in `rows` under our names. A row without an epoch belongs to the epoch of the row before it.

    offset: epochs before the first row, where no row names its epoch. Empty text, null and text that is no number mean
    "not reported".
    """
    named = has_epochs(rows, source)
    epoch = None if named else offset
    for row in rows:
        if not named:
            epoch = (epoch or 0) + 1
        elif (reported := _epoch_of(row, source, first_epoch)) is not None:
            epoch = reported
        if epoch is not None:
            for name, raw in _layers_in(row, source) if isinstance(source, FusionParams) else _metrics_in(row, source):
                if (value := number(raw)) is not None:
                    yield Point(epoch, name, value)


def merged(reported: Iterable[Point]) -> Records:
    """One record per epoch, by epoch; of a value that was reported twice the later one counts.

    A program that resumed from an older checkpoint goes back: what it reports of an earlier epoch a second time
    replaces that epoch and all after it. Validation rows that come late are new names there, and are added.
    """
    records: Records = {}
    newest = 0
    for epoch, name, value in reported:
        if epoch < newest and name in records.get(epoch, {}):
            records = {other: record for other, record in records.items() if other < epoch}
            newest = epoch
        records.setdefault(epoch, {})[name] = value
        newest = max(newest, epoch)
    return dict(sorted(records.items()))


def combined(several: Iterable[Records]) -> Records:
    """The records of several sources, merged by epoch; of a name that two of them report, the later source counts."""
    whole: Records = {}
    for records in several:
        for epoch, record in records.items():
            whole.setdefault(epoch, {}).update(record)
    return dict(sorted(whole.items()))


def number(value: Any) -> float | None:
    """`value` as a number; None where it is none. An integer beyond the floats is infinite."""
    if isinstance(value, list) and len(value) == 1:  # a tensor of one number, as lists write it
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        result = float(value)
    except ValueError:
        return None
    except OverflowError:
        return math.inf
    return math.nan if math.isnan(result) else result  # one object, so that equal records are equal


def value_at(row: Any, place: str | int) -> Any:
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


def names_in_rows(rows: Sequence[Any]) -> list[str]:
    """The columns and keys that hold a number somewhere, for messages."""
    numbers = (
        name for row in rows if isinstance(row, dict) for name, raw in flat(row).items() if number(raw) is not None
    )
    return list(dict.fromkeys(numbers))


def _metrics_in(row: Any, source: SourceParams) -> Iterator[tuple[Name, Any]]:
    cells = flat(row) if isinstance(row, dict) else {}
    epoch = source.names.get("epoch", "epoch")
    if not source.names:
        yield from ((name, raw) for name, raw in cells.items() if name != epoch)
    for ours, theirs in source.names.items():
        if "*" in ours and isinstance(theirs, str):
            before, _, behind = theirs.partition("*")
            for name, raw in cells.items():
                if name.startswith(before) and name.endswith(behind) and len(name) >= len(before) + len(behind):
                    yield ours.replace("*", name[len(before) : len(name) - len(behind)]), raw
        elif ours != "epoch":
            yield ours, value_at(row, theirs)


def _layers_in(row: Any, fusion: FusionParams) -> Iterator[tuple[Name, Any]]:
    cells = flat(row) if isinstance(row, dict) else {}
    ours = {theirs: name for name, theirs in fusion.names.items()}
    if fusion.columns is not None:
        for column, raw in cells.items():
            if match := re.fullmatch(fusion.columns, column):
                yield (layer_label(match["layer"], fusion), str(ours.get(match["quantity"], match["quantity"]))), raw
    elif (layer := cells.get(fusion.layer)) not in (None, ""):
        rest: Mapping[str, Any] = {name: raw for name, raw in cells.items() if name not in (fusion.layer, "epoch")}
        yield from (((layer_label(layer, fusion), str(ours.get(name, name))), raw) for name, raw in rest.items())


def layer_label(layer: Any, fusion: FusionParams) -> str:
    """A layer as we name it: counted from 1; `late` and other names stay."""
    count = number(layer)
    return str(layer) if count is None or count % 1 else str(int(count) + 1 - fusion.first_layer)


def _epoch_of(row: Any, source: SourceParams, first_epoch: int) -> int | None:
    reported = number(value_at(row, source.names.get("epoch", "epoch")))
    if reported is None or not 0 <= reported < _MOST_EPOCHS:
        return None
    return math.ceil(round(reported, 6)) + 1 - first_epoch  # 0.4 of the first epoch belongs to it
