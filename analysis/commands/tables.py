"""Writing rows to stdout as a table, CSV or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.text import Text

from analysis.commands.options import Format
from analysis.formatting import significant
from analysis.output.terminal import new_table
from analysis.output.writing import stdout_console
from runner.spreadsheet import csv_text


def write_rows(
    rows: Sequence[dict[str, Any]],
    columns: Sequence[str],
    format: Format,
    shown: Sequence[dict[str, Any]] | None = None,
) -> None:
    """`shown`: the rows of the table for people, where they are fewer than all."""
    if format is Format.json:
        sys.stdout.write(json.dumps(list(rows), indent=1) + "\n")
        return
    if format is Format.csv:
        sys.stdout.write(csv_text(columns, rows))
        return
    table = new_table()
    visible = rows if shown is None else shown
    for name in columns:
        numeric = all(isinstance(row.get(name), (int, float, type(None))) for row in visible)
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in visible:
        table.add_row(*(Text(cell(row.get(name))) for name in columns))
    stdout_console().print(table)


def cell(value: Any) -> str:
    """A value as a table shows it."""
    return significant(value) if isinstance(value, float) else "" if value is None else str(value)
