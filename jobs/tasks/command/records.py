"""What a command tells of its epochs: records from its files or its output."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any, Protocol

from jobs.tasks.command.schema import MetricsParams
from runner.rundir.files import read_json, read_json_lines

Record = dict[str, Any]  # metric → number, None where the command wrote no number; and `epoch`, counted from 1
_KEPT = 1 << 16  # characters of output without a match


class Source(Protocol):
    """Where records come from; `records` is everything known so far."""

    def hear(self, line: str) -> None: ...
    def records(self) -> list[Record]: ...


def source_of(params: MetricsParams, out: Path) -> Source:
    """The source that `params` describe; files are in the folder `out`."""
    return FromOutput(params) if params.pattern is not None else FromFile(params, out / str(params.file))


class FromFile:
    """A file of records that grows, or is written anew; it is read again when its size or time has changed."""

    def __init__(self, params: MetricsParams, path: Path) -> None:
        self._params, self._path = params, path
        self._stat: tuple[int, int] | None = None
        self._found: list[Record] = []

    def hear(self, line: str) -> None:
        """Output says nothing here."""

    def records(self) -> list[Record]:
        try:
            stat = self._path.stat()
        except OSError:
            return self._found  # not yet there
        if (stat.st_size, stat.st_mtime_ns) != self._stat:
            rows = _READERS[self._params.ending](self._path)
            if rows is not None:  # else it is being written
                self._stat = stat.st_size, stat.st_mtime_ns
                self._found = translated(rows, self._params)
        return self._found


class FromOutput:
    """Lines that a regular expression finds in the output; it may span several lines."""

    def __init__(self, params: MetricsParams) -> None:
        self._params = params
        self._pattern = re.compile(str(params.pattern), re.MULTILINE)
        self._rest = ""  # of the output, behind the last match
        self._rows: list[Record] = []

    def hear(self, line: str) -> None:
        self._rest = (self._rest + line)[-_KEPT:]
        end = 0
        for match in self._pattern.finditer(self._rest):
            self._rows.append(match.groupdict())
            end = match.end()
        self._rest = self._rest[end:]

    def records(self) -> list[Record]:
        return translated(self._rows, self._params)


def translated(rows: list[Any], params: MetricsParams) -> list[Record]:
    """Rows as records with our names; without an `epoch` in them they are counted."""
    found = []
    for number, row in enumerate(rows, 1):
        names = params.names or {name: name for name in row if isinstance(row, dict)}
        record = {ours: _number(_at(row, theirs)) for ours, theirs in names.items()}
        told = record.pop("epoch", None) if "epoch" in names else _number(_at(row, "epoch"))
        epoch = number if told is None else int(told) + 1 - params.first_epoch
        kept = {
            its: value for its, value in record.items() if value is not None or (its == params.follow and its in names)
        }
        found.append({"epoch": epoch, **kept})
    return found


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


def _number(value: Any) -> float | int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return None


def _lines(path: Path) -> list[Any]:
    return read_json_lines(path)


def _table(path: Path) -> list[Any]:
    """Whole lines only: the last one may be half written."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))


def _whole(path: Path) -> list[Any] | None:
    """A list of records, columns of equal length, or one record; None while the file is half written."""
    found = read_json(path)
    if isinstance(found, list):
        return found
    if not isinstance(found, dict):
        return None
    columns = {name: value for name, value in found.items() if isinstance(value, list)}
    if not columns:
        return [found]
    length = min(len(value) for value in columns.values())
    return [{name: value[at] for name, value in columns.items()} for at in range(length)]


_READERS = {"jsonl": _lines, "csv": _table, "json": _whole}
