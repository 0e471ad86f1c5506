"""The epochs of a command in our logs: each once, the newest word counts."""

from __future__ import annotations

import math
from typing import Any

from jobs.context import RunContext
from jobs.failure import Kind, RunFailure
from jobs.patience import patiently
from jobs.reading.points import Record
from jobs.reading.schema import MetricsParams
from jobs.reading.sources import Source
from jobs.task import Outcome
from jobs.training.health_monitor import Watch
from runner.files import as_count, read_json_lines, read_mapping, write_json

_NO_METRICS = frozenset(("epoch", "attempt", "time", "step", "seconds", "learning_rate"))


class Epochs:
    """Takes records from a source to metrics.jsonl, with the health of each epoch."""

    def __init__(self, params: MetricsParams, source: Source, context: RunContext) -> None:
        self._params, self._source, self._context = params, source, context
        self._log = context.directory.metrics
        self._watch = Watch(context.thresholds, context.params)
        self._seen: list[Record] = []  # of the source
        self._recorded: set[int] = set()  # epochs in metrics.jsonl
        self._reported: list[Record] = []
        self._may_begin_anew = False

    def begin(self, resumes: bool) -> None:
        """Start with empty logs, or go on behind what an earlier attempt has recorded."""
        numbering = self._context.directory.numbering
        if not resumes:
            numbering.unlink(missing_ok=True)
            self._context.rewind(0)
            return
        self._watch.go_on(self._context.directory)
        self._recorded = {line["epoch"] for line in read_json_lines(self._log) if "epoch" in line}
        self._source.number_from(as_count(read_mapping(numbering).get("offset")) or 0)
        last = max(self._recorded, default=0)
        self._seen = [record for record in self._source.records() if record["epoch"] <= last]
        self._may_begin_anew = last > 0 and self._params.restarts == "continue"

    def record_new(self, ended: bool = False) -> bool:
        """Log what is new; whether anything was reported. An earlier epoch reported anew takes all after it along.

        The newest epoch waits for its followed metric, for the next epoch, or for the end of the command.
        """
        news, self._reported = self._source.records() is not self._reported, self._source.records()
        records = self._complete(ended)
        same = _equal_at_the_beginning(records, self._seen)
        if records and same == 0 and self._may_begin_anew and self._source.counts_rows:
            self._number_on()
            records = self._complete(ended)
        if records and len(self._seen) > same:
            self._rewind(self._seen[same]["epoch"] - 1)
        for record in records[same:]:
            self._record(record)
        self._seen = records or self._seen
        return news

    def _complete(self, ended: bool) -> list[Record]:
        records = self._source.records()
        under_way = bool(records) and not ended and self._params.follow not in records[-1]
        return records[:-1] if under_way else list(records)

    def _number_on(self) -> None:
        """A resumed command has begun a new history, and only the order of its rows says which epochs they are."""
        last = max(self._recorded)
        self._source.number_from(last)
        patiently(lambda: write_json(self._context.directory.numbering, {"offset": last}))
        self._seen, self._may_begin_anew = [], False
        self._context.warn(
            f"the command's history began anew and names no epochs: its first row is taken for epoch {last + 1}; "
            "where it repeats epochs, let it write `epoch`, or set metrics.restarts: again"
        )

    def outcome(self, words: list[str], notes: list[str]) -> Outcome:
        """The epoch with the best followed metric; RunFailure where there is none. notes: for the summary to say."""
        follow = self._params.follow
        told = read_json_lines(self._log)
        scored = [line for line in told if line.get(follow) is not None]
        if not scored:
            where = f"{{out}}/{self._params.file}" if self._params.file else "the output, with metrics.pattern"
            known = sorted({name for line in told for name in line} - _NO_METRICS)
            found = ", ".join(known) or "no record"
            what = f"the command ended well but reported no {follow}; looked in {where}, found {found}"
            raise RunFailure(Kind.EXCEPTION, what)
        best = (min if self._params.mode == "min" else max)(scored, key=lambda line: line[follow])
        metrics = {name: value for name, value in best.items() if name not in _NO_METRICS and _finite(value)}
        return Outcome(
            metrics, best_epoch=best["epoch"], epochs=told[-1]["epoch"], extra={"command": words, "notes": notes}
        )

    def _record(self, record: Record) -> None:
        if record["epoch"] in self._recorded:  # a resumed command repeats what came after its checkpoint
            self._rewind(record["epoch"] - 1)
        found = self._watch.see(record, {})
        self._context.health = self._watch.level
        self._context.record(record)
        self._recorded.add(record["epoch"])
        for finding in found:
            self._context.report(finding)
        wrong = {name: value for name, value in record.items() if self._must_be_finite(name) and not _finite(value)}
        if wrong:
            shown = ", ".join(f"{name} = {value}" for name, value in wrong.items())
            raise RunFailure(Kind.DIVERGED, f"epoch {record['epoch']}: {shown}; the command was ended")

    def _must_be_finite(self, name: str) -> bool:
        return name == self._params.follow or "loss" in name

    def _rewind(self, epoch: int) -> None:
        self._context.rewind(epoch)
        self._watch.rewind(epoch)
        self._recorded = {other for other in self._recorded if other <= epoch}


def _equal_at_the_beginning(some: list[Record], others: list[Record]) -> int:
    """How many records are the same in both, up to the first difference."""
    pairs = enumerate(zip(some, others, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(some), len(others)))


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
