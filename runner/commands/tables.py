"""Tables that all commands share: no lines, nothing cut off, in a pipe as well."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

GAP = 2


@dataclass(frozen=True)
class Column:
    """One column: its title, its cells, and what happens when the terminal is narrow."""

    title: str
    cells: list[str | Text]
    right: bool = False
    fold: bool = False  # may be broken over several lines
    keep: int = 99  # columns with the lowest number are left out first

    def least(self, width: int) -> int:
        """How wide it is at least on a terminal of `width`."""
        title, widest = cell_len(self.title), max(cell_len(str(cell)) for cell in self.cells)
        return max(title, min(widest, width // 3) if self.fold else widest)


def fitted(columns: Iterable[Column], width: int) -> Table:
    """The table of those columns that fit into `width`; one that folds counts with a third of it at most."""
    shown = [column for column in columns if any(str(cell) for cell in column.cells)]
    while sum(column.least(width) + GAP for column in shown) - GAP > width:
        dispensable = min(shown, key=lambda column: column.keep)
        if dispensable.keep >= 99 or len(shown) == 1:
            break
        shown.remove(dispensable)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for column in shown:
        table.add_column(
            Text(column.title), justify="right" if column.right else "left", no_wrap=not column.fold, overflow="fold"
        )
    for row in zip(*(column.cells for column in shown), strict=True):
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return table
