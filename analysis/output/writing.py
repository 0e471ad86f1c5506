"""Where results go: stdout for people and pipes, files for keeping, stderr for what happened."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from analysis.formatting import significant
from analysis.output.terminal import new_table
from runner.console import console
from runner.errors import CommandFailed
from runner.files import leads_out, replacing
from runner.spreadsheet import csv_text
from runner.terminal import tell

PIPE_WIDTH = 100  # columns where stdout is no terminal and COLUMNS is not set
Format = Literal["table", "json", "csv"]  # of what is written to stdout


def stdout_console() -> Console:
    """A console for results: colours and width of the terminal; none and 100 columns in a pipe."""
    return console(pipe_width=PIPE_WIDTH)


def kept_inside(path: Path, directory: Path) -> Path:
    """`path`; CommandFailed where a link leads it out of `directory`."""
    if leads_out(path, directory):
        raise CommandFailed(f"{path} leads out of {directory} by a link: nothing is written there")
    return path


def written(files: Mapping[Path, str | bytes], *, inside: Path | None = None, quiet: bool = False) -> None:
    """Write each file in one step and name it on stderr unless `quiet`.

    CommandFailed where that is impossible, or where a link leads out of the directory `inside`.
    """
    for path, content in files.items():
        if inside is not None:
            kept_inside(path, inside)
        try:
            with replacing(path) as beside:
                beside.write_bytes(content.encode(errors="backslashreplace") if isinstance(content, str) else content)
        except OSError as error:
            raise CommandFailed(f"cannot write {path}: {error.strerror}") from None
        if not quiet:
            tell(f"wrote {path}")


def write_rows(rows: Sequence[dict[str, Any]], format: Format, shown: Sequence[dict[str, Any]] | None = None) -> None:
    """Columns: the keys that hold something in some row. `shown`: the rows for people, where they are fewer."""
    columns = dict.fromkeys(name for row in rows for name, value in row.items() if value not in (None, ""))
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name in columns]
    if format != "table":
        sys.stdout.write(csv_text(names, rows) if format == "csv" else json.dumps(list(rows), indent=1) + "\n")
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
