"""CSV for people: in a spreadsheet no cell of it is a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_NUMBERS = re.compile(rf"{_NUMBER}(?:, ?{_NUMBER})*")  # a list of them is an axis value too


def cell(value: Any) -> Any:
    """`value`; text that a spreadsheet would run has a `'` before it, numbers and lists of numbers have none."""
    if not isinstance(value, str):
        return value
    text = f"'{value}" if value.startswith(_FORMULA) and not _NUMBERS.fullmatch(value) else value
    return text.replace("\r", "\n")  # csv leaves a carriage return without quotation marks: it would end the row


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """The `columns` of `rows` as CSV with its header; what a row lacks is blank."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(cell, columns))
    writer.writerows([cell(row.get(name)) for name in columns] for row in rows)
    return text.getvalue()
