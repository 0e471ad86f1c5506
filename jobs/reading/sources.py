"""A program's history while it grows: in a file, or in what the program prints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jobs.reading.files import rows_of
from jobs.reading.points import Record, has_epochs, merged, points
from jobs.reading.schema import MetricsParams

_KEPT = 1 << 16  # characters of output without a match


class Source:
    """Rows as they are reported, and the records that they make."""

    def __init__(self, params: MetricsParams) -> None:
        self.params = params
        self.offset = 0  # epochs before the first row, where no row names its epoch
        self._rows: list[Any] = []
        self._records: list[Record] | None = []  # None: rows have changed

    def hear(self, line: str) -> None:
        """One line of the program's output."""

    def records(self) -> list[Record]:
        """Everything known so far, one record per epoch."""
        if self._records is None:
            self._records = merged(points(self._rows, self.params, self.offset))
        return self._records

    @property
    def counts_rows(self) -> bool:
        """Whether rows are counted, because none names its epoch."""
        return not has_epochs(self._rows, self.params)

    def number_from(self, offset: int) -> None:
        """Let the first row be the epoch after `offset`."""
        self.offset = offset
        self._update(self._rows)

    def _update(self, rows: list[Any]) -> None:
        self._rows, self._records = rows, None


class FromFile(Source):
    """A file of rows that grows, or is written anew; it is read again when its size or time has changed."""

    def __init__(self, params: MetricsParams, path: Path) -> None:
        super().__init__(params)
        self._path = path
        self._stat: tuple[int, int] | None = None

    def records(self) -> list[Record]:
        try:
            stat = self._path.stat()
        except OSError:
            return super().records()  # not written yet
        if (stat.st_size, stat.st_mtime_ns) != self._stat:
            rows = rows_of(self._path, self.params.ending)
            if rows is not None:  # else it is being written
                self._stat = stat.st_size, stat.st_mtime_ns
                self._update(rows)
        return super().records()


class FromOutput(Source):
    """What a regular expression matches in the output; it may span several lines."""

    def __init__(self, params: MetricsParams) -> None:
        super().__init__(params)
        self._pattern = re.compile(str(params.pattern), re.MULTILINE)
        self._rest = ""  # of the output, behind the last match

    def hear(self, line: str) -> None:
        self._rest = (self._rest + line)[-_KEPT:]
        end, rows = 0, []
        for match in self._pattern.finditer(self._rest):
            rows.append(match.groupdict())
            end = match.end()
        self._rest = self._rest[end:]
        if rows:
            self._update(self._rows + rows)


def source_of(params: MetricsParams, path: Path | None) -> Source:
    """The source that `params` describe; `path`: its file, None for a pattern on the output."""
    return FromOutput(params) if path is None else FromFile(params, path)
