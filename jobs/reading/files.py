"""The rows of a file that another program writes: JSON lines, CSV or JSON."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from runner.files import read_bytes, read_json, read_json_lines


def rows_of(path: Path, file_format: str) -> list[Any] | None:
    """The whole rows so far; None while the file is half written."""
    return _READERS[file_format](path)


def _lines(path: Path) -> list[Any]:
    return read_json_lines(path)


def _table(path: Path) -> list[Any]:
    """Whole lines only: the last one may be half written."""
    text = read_bytes(path, links=True).decode("utf-8", "replace")
    return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))


def _whole(path: Path) -> list[Any] | None:
    """A list of records, columns of equal length, or one record; None while the file is half written."""
    content = read_json(path)
    if isinstance(content, list):
        return content
    if not isinstance(content, dict):
        return None
    columns = {name: value for name, value in content.items() if isinstance(value, list)}
    if not columns:
        return [content]
    length = min(len(value) for value in columns.values())
    return [{name: value[at] for name, value in columns.items()} for at in range(length)]


_READERS = {"jsonl": _lines, "csv": _table, "json": _whole}
