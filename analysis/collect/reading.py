"""Reading the logs of a run, whatever state they are in. Free of torch and pandas.

A log may end in half a line, hold foreign lines, be truncated or missing: what can be read is returned, and what
cannot is counted.
"""

from __future__ import annotations

import csv
import errno
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from runner import files
from runner.record import finite_items as finite_items

UNREADABLE = files.NO_FILE | {errno.EACCES, errno.EPERM}  # the last two: somebody else's file
TAIL = 8 * 1024  # bytes; holds the last line of most logs
LONGEST_LINE = 16 << 20  # bytes that are read to find the last line of a log


def read_bytes(path: Path | str) -> bytes:
    """The content of `path`; empty when there is no such file, or none that may be read."""
    try:
        return files.read_bytes(path)
    except OSError as error:
        return _nothing(error)


def _nothing(error: OSError) -> bytes:
    """No content where no file can be read; other errors, as of a broken disk, are raised."""
    if error.errno not in UNREADABLE:
        raise error
    files.name_refused(error)
    return b""


def read_tail(path: Path | str, size: int = TAIL) -> bytes:
    """The last lines of `path`, at least one whole line where there is one; about `size` bytes."""
    try:
        with files.open_file(path) as file:
            length = file.seek(0, 2)
            while True:
                file.seek(max(0, length - size))
                data = file.read()
                if length <= size or size > LONGEST_LINE:
                    return data if length <= size else b""
                if data.count(b"\n") >= 2:
                    return data[data.find(b"\n") + 1 :]
                size *= 8
    except OSError as error:
        return _nothing(error)


def json_lines(data: bytes) -> tuple[list[dict[str, Any]], int]:
    """The JSON objects in `data`, one per line, and the number of lines that hold none."""
    lines = [line for line in data.splitlines() if line.strip()]
    try:
        records = from_json(b"[" + b",".join(lines) + b"]")  # an order of magnitude faster than line by line
    except ValueError:
        records = [_json_or_none(line) for line in lines]
    objects = [record for record in records if isinstance(record, dict)]
    return objects, len(lines) - len(objects)


def newest_object(data: bytes) -> dict[str, Any] | None:
    """The JSON object in the last line of `data` that holds one."""
    values = map(_json_or_none, reversed(data.splitlines()))
    return next((value for value in values if isinstance(value, dict)), None)


def _json_or_none(line: bytes) -> Any:
    try:
        return from_json(line)
    except ValueError:
        return None


def json_object(path: Path | str) -> dict[str, Any] | None:
    """The JSON object in `path`; None when the file is missing, truncated, or something else."""
    value = _json_or_none(read_bytes(path))
    return value if isinstance(value, dict) else None


def table_rows(data: bytes, newest: int | None = None) -> tuple[list[dict[str, Any]], int]:
    """Rows of a CSV with numbers as floats and blanks left out, and the number of rows that do not fit its header.

    `newest`: only so many of the last rows. A half-written last row does not end in a newline and is left out.
    """
    lines = [line for line in data[: data.rfind(b"\n") + 1].decode("utf-8", "replace").splitlines() if line]
    if newest and b'"' not in data and len({line.count(",") for line in lines}) == 1:
        lines = [lines[0], *lines[1:][-newest:]]  # all fit: the older ones need not be taken apart
    rows = csv.reader(lines)
    header = next(rows, [])
    body = [row for row in rows if row]
    fitting = [row for row in body if len(row) == len(header)]
    records = [
        {name: cell_value(name, cell) for name, cell in zip(header, row, strict=True) if cell}
        for row in (fitting[-newest:] if newest else fitting)
    ]
    return records, len(body) - len(fitting)


def cell_value(name: str, cell: str) -> Any:
    """A cell as a number, where it is one; a layer keeps its text."""
    if name == "layer":
        return cell
    try:
        return float(cell)
    except ValueError:
        return cell
