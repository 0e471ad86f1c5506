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


def write_rows(rows: Sequence[dict[str, Any]], format: Format, shown: Sequence[dict[str, Any]] | None = None) -> None:
    """Columns: the keys that hold something in some row. `shown`: the rows for people, where they are fewer."""
    columns = dict.fromkeys(name for row in rows for name, value in row.items() if value not in (None, ""))
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name in columns]
    if format is not Format.table:
        text = csv_text(names, rows) if format is Format.csv else json.dumps(list(rows), indent=1) + "\n"
        sys.stdout.write(text)
        return
    table, visible = new_table(), rows if shown is None else shown
    for name in names:
        numeric = all(isinstance(row.get(name), (int, float, type(None))) for row in visible)
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in visible:
        table.add_row(*(Text(cell(row.get(name))) for name in names))
    stdout_console().print(table)


def cell(value: Any) -> str:
    """A value as a table shows it."""
    return significant(value) if isinstance(value, float) else "" if value is None else str(value)
