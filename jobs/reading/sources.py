"""A program's history while it grows: in files, or in what the program prints."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from jobs.reading.files import Rows, bare, files_of, json_rows, matches, rows_of
from jobs.reading.points import Records, has_epochs, merged, points
from jobs.reading.schema import SourceParams
from runner.config.template import fill

_KEPT = 1 << 16  # characters of output without a match
_REST = 20  # times as long as reading took, nothing is read again


class Source:
    """Rows as they are reported, and the records that they make."""

    def __init__(self, params: SourceParams, first_epoch: int) -> None:
        self.params, self.first_epoch = params, first_epoch
        self.offset = 0  # epochs before the first row, where no row names its epoch
        self.earlier: list[tuple[int, Rows]] = []  # (offset, rows) of histories that were begun anew
        self.rows: Rows = []
        self.version = 0  # changes with the rows
        self.problems: list[str] = []  # files that cannot be read
        self._records: Records | None = None  # None: rows have changed

    @property
    def records(self) -> Records:
        """Everything known so far."""
        if self._records is None:
            segments = [*self.earlier, (self.offset, self.rows)]
            parts = (points(rows, self.params, self.first_epoch, offset) for offset, rows in segments)
            self._records = merged(chain.from_iterable(parts))
        return self._records

    @property
    def counts_rows(self) -> bool:
        """Whether rows are counted, because none names its epoch."""
        return not has_epochs(self.rows, self.params)

    def number_from(self, offset: int, earlier: list[tuple[int, Rows]]) -> None:
        """Let the first row be the epoch after `offset`; earlier: histories before this one."""
        self.offset, self.earlier, self._records = offset, earlier, None

    def add_output(self, line: str) -> None:
        """One line of the program's output."""

    def look(self, final: bool) -> None:
        """Read again what has changed. final: now, however long it takes."""

    def read_output(self, texts: Sequence[str]) -> None:
        """The whole output of a program that has ended: of each of its attempts."""

    def _set(self, rows: Rows) -> None:
        self.rows, self._records = rows, None
        self.version += 1


class Files(Source):
    """Files of rows that grow, or are written anew; each is read again when its size or time has changed."""

    def __init__(self, params: SourceParams, first_epoch: int, folder: Path, values: Mapping[str, Any]) -> None:
        super().__init__(params, first_epoch)
        self._folder, self._name = folder, fill(str(params.file), values, literal)
        self.read: dict[Path, tuple[tuple[int, int], Rows]] = {}  # size and time, rows
        self._not_before = 0.0

    def look(self, final: bool) -> None:
        started = time.monotonic()
        if started < self._not_before and not final:
            return
        known, self.problems = self.read, []
        self.read = {}
        for path in files_of(self._folder, self._name, self.params):
            self._read_again(path, known.get(path))
        if {path: seen for path, (seen, _) in self.read.items()} != {path: seen for path, (seen, _) in known.items()}:
            self._set([row for _, rows in self.read.values() for row in rows])
        now = time.monotonic()
        self._not_before = now + _REST * (now - started)

    def _read_again(self, path: Path, known: tuple[tuple[int, int], Rows] | None) -> None:
        try:
            status = path.stat()
            seen = status.st_size, status.st_mtime_ns
            if known is None or known[0] != seen:
                rows = rows_of(path, self.params)
                if rows or (rows is not None and known is None):  # else it is being written
                    known = seen, rows
        except OSError as error:
            self.problems.append(f"{path.name} is not read: {error.strerror}")
        if known is not None:
            self.read[path] = known


class Output(Source):
    """JSON lines, or what a regular expression matches, in what is printed; a match may span several lines."""

    def __init__(self, params: SourceParams, first_epoch: int) -> None:
        super().__init__(params, first_epoch)
        self._rest = ""  # of the output, behind the last match

    def add_output(self, line: str) -> None:
        if self.params.pattern is None:
            rows = json_rows([line])
        else:
            self._rest = (self._rest + bare(line))[-_KEPT:]
            hits = list(re.finditer(self.params.pattern, self._rest, re.MULTILINE))
            rows = [match.groupdict() for match in hits]
            self._rest = self._rest[hits[-1].end() if hits else 0 :]
        if rows:
            self._set(self.rows + rows)

    def read_output(self, texts: Sequence[str]) -> None:
        pattern = self.params.pattern
        rows = (json_rows(bare(text).splitlines()) if pattern is None else matches(pattern, text) for text in texts)
        parts = [part for part in rows if part]
        offsets = [*(at for at, _ in self.earlier), self.offset]
        if len(parts) == len(offsets):  # as its attempts were numbered while it ran
            self.earlier = list(zip(offsets, parts, strict=True))[:-1]
            parts = parts[-1:]
        self._set(list(chain.from_iterable(parts)))


def source_of(params: SourceParams, first_epoch: int, folder: Path, values: Mapping[str, Any]) -> Source:
    """The source that `params` describe. folder: where the program writes; values: what {names} in paths stand for."""
    return Output(params, first_epoch) if params.file is None else Files(params, first_epoch, folder, values)


def literal(value: str) -> str:
    """A value in a path is no pattern."""
    return re.sub(r"[*?\[]", r"[\g<0>]", value)
