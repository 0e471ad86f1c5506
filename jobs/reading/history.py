"""What a program reported of its epochs, from all sources together: metrics, and quantities of fused layers."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from jobs.reading.fusion import Layers, brought_to_ours
from jobs.reading.points import combined, names_in_rows
from jobs.reading.schema import MetricsParams
from jobs.reading.sources import Files, Source, source_of
from runner.errors import nearest
from runner.files import read_bytes

_SHOWN = 12  # names in a message


class Epoch(NamedTuple):
    """What is known of one epoch."""

    number: int  # counted from 1
    metrics: dict[str, float]
    layers: Layers


@dataclass(frozen=True)
class History:
    """Everything that was read of a program."""

    epochs: list[Epoch] = field(default_factory=list)  # by number
    warnings: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)  # that were read


class Reading:
    """The sources of one program, with those of its fusion weights."""

    def __init__(self, params: MetricsParams, folder: Path, values: Mapping[str, Any]) -> None:
        self.params = params
        self.metrics = [source_of(one, params.first_epoch_of(one), folder, values) for one in params.places]
        fusion = params.fusion
        self.fusion = [] if fusion is None else [source_of(fusion, params.first_epoch_of(fusion), folder, values)]
        self._final = False
        self.notes: list[str] = []  # what was done to the numbers

    @property
    def sources(self) -> list[Source]:
        return self.metrics + self.fusion

    def look(self, final: bool = False) -> None:
        """Read what has changed; final: all of it, now."""
        self._final = final
        for source in self.sources:
            source.look(final)

    def add_output(self, lines: Sequence[str]) -> None:
        """Lines of the program's output."""
        for line, source in product(lines, self.sources):
            source.add_output(line)

    def epochs(self) -> list[Epoch]:
        """One record per epoch, by epoch."""
        records = combined(source.records for source in self.metrics)
        layers: dict[int, Layers] = {}
        self.notes = []
        if self.params.fusion is not None:
            layers, self.notes = brought_to_ours(self.fusion[0].records, self.params.fusion.normalise, self._final)
        return [
            Epoch(number, {str(name): value for name, value in records.get(number, {}).items()}, layers.get(number, {}))
            for number in sorted(records.keys() | layers.keys())
        ]

    @property
    def warnings(self) -> list[str]:
        """What was done to the numbers, and what does not fit the mapping: with what was found instead."""
        return self.notes + [line for one in self.sources for line in one.problems + _misfits(one, self.params)]


def read_history(
    folder: Path, params: MetricsParams, values: Mapping[str, Any], output: Sequence[Path] = ()
) -> History:
    """The history that a program left in `folder`. values: what {names} in paths stand for.

    output: files of what it printed, in order, for sources that are read there. Nothing is raised for what is missing
    or damaged: `warnings` says it.
    """
    return read_all(Reading(params, folder, values), output)


def read_all(reading: Reading, output: Sequence[Path] = ()) -> History:
    """The history of a program that has ended. A history without epochs that is shorter than the run began anew."""
    reading.look(final=True)
    texts, problems = [], []
    for path in output if any(source.params.file is None for source in reading.sources) else ():
        try:
            texts.append(read_bytes(path).decode("utf-8", "replace"))
        except OSError as error:
            problems.append(f"{path.name} is not read: {error.strerror}")
    for source in reading.sources:
        source.read_output(texts)
    problems += _ends_aligned(reading)
    epochs = reading.epochs()
    files = [path for source in reading.sources if isinstance(source, Files) for path in source.read]
    return History(epochs, [*problems, *reading.warnings], list(dict.fromkeys([*files, *(output if texts else ())])))


def _ends_aligned(reading: Reading) -> list[str]:
    """Let the last row of a history without epochs be the last epoch that another source names."""
    named = [max(source.records) for source in reading.metrics if source.records and not source.counts_rows]
    lines = []
    for source in reading.sources if named and reading.params.restarts == "continue" else ():
        missing = max(named) - len(source.rows)
        if source.rows and source.counts_rows and missing > 0 and not source.offset:
            source.number_from(missing, source.earlier)
            lines.append(
                f"{source.params.place} names no epochs and has rows of {len(source.rows)} of {max(named)} epochs: it "
                f"began anew, so its first row is taken for epoch {missing + 1}; else set metrics.restarts: again"
            )
    return lines


def _misfits(source: Source, params: MetricsParams) -> list[str]:
    """What a source was asked for and does not have."""
    one, place = source.params, source.params.place
    if not source.rows:
        what = "no such file" if isinstance(source, Files) and not source.read else "nothing was read"
        return [f"{place}: {what}" + ("; check the pattern" if one.pattern else "")]
    reported = {name for record in source.records.values() for name in record}
    columns = names_in_rows(source.rows)
    shown = ", ".join(columns[:_SHOWN]) + (", …" if len(columns) > _SHOWN else "") if columns else _shape(source.rows)
    if not reported:
        return [f"{place}: no number that the mapping names; found {shown}"]
    lines = []
    names = {name if isinstance(name, str) else name[1] for name in reported}
    for ours in (ours for ours in one.names if ours != "epoch" and not fnmatch.filter(names, ours)):
        near = None if "*" in ours else nearest(str(one.names[ours]), columns)
        guess = f"; did you mean {near}" if near else ""
        lines.append(f"{place}: no {one.names[ours]} for {ours}; found {shown}{guess}")
    if min(source.records) < 1:
        lines.append(f"{place}: its first epoch is {min(source.records)}; set first_epoch: 0")
    layers = [int(name[0]) for name in reported if isinstance(name, tuple) and name[0].lstrip("-").isdecimal()]
    if layers and min(layers) < 1:
        lines.append(f"{place}: its first layer is {min(layers)}; set metrics.fusion.first_layer: 0")
    return lines


def _shape(rows: Sequence[Any]) -> str:
    first = rows[0]
    return f"lists of {len(first)} values; name a place, counted from 0" if isinstance(first, list) else "no numbers"


def no_followed(params: MetricsParams, epochs: Sequence[Epoch], warnings: Sequence[str]) -> str:
    """Why a run has no best epoch: where the followed metric was looked for, and what was found there."""
    places = " and ".join(dict.fromkeys(source.place for source in params.places))
    known = sorted({name for epoch in epochs for name in epoch.metrics})
    details = "".join(f"; {line}" for line in warnings[:3])
    return f"reported no {params.follow}; looked in {places}, found {', '.join(known[:_SHOWN]) or 'no record'}{details}"
