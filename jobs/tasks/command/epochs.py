"""The epochs of a command in our logs: each once, the newest word counts."""

from __future__ import annotations

import math
from typing import Any

from jobs.context import RunContext
from jobs.failure import Kind, RunFailure
from jobs.task import Outcome
from jobs.tasks.command.records import Record, Source
from jobs.tasks.command.schema import MetricsParams
from jobs.training.health_monitor import Watch
from runner.rundir.files import read_json_lines

_NO_METRICS = frozenset(("epoch", "attempt", "time", "step", "seconds", "learning_rate"))


class Epochs:
    """Takes records from a source to metrics.jsonl, with the health of each epoch."""

    def __init__(self, params: MetricsParams, source: Source, context: RunContext) -> None:
        self._params, self._source, self._context = params, source, context
        self._log = context.directory.metrics
        self._watch = Watch(context.thresholds, context.params)
        self._seen: list[Record] = []  # of the source
        self._recorded: set[int] = set()  # epochs in metrics.jsonl

    def begin(self, resumes: bool) -> None:
        """Start with empty logs, or go on behind what an earlier attempt has recorded."""
        if not resumes:
            self._context.rewind(0)
            return
        self._watch.go_on(self._context.directory)
        self._recorded = {line["epoch"] for line in read_json_lines(self._log) if "epoch" in line}
        last = max(self._recorded, default=0)
        self._seen = [record for record in self._source.records() if record["epoch"] <= last]

    def record_new(self) -> bool:
        """Log what is new, and whether anything was; where an earlier epoch is told anew, everything after it too."""
        records = self._source.records()
        same = 0
        while same < min(len(records), len(self._seen)) and records[same] == self._seen[same]:
            same += 1
        if records and len(self._seen) > same:
            self._rewind(self._seen[same]["epoch"] - 1)
        for record in records[same:]:
            self._record(record)
        self._seen = list(records) or self._seen
        return len(records) > same

    def outcome(self, words: list[str]) -> Outcome:
        """The epoch with the best followed metric; RunFailure where there is none."""
        follow = self._params.follow
        told = read_json_lines(self._log)
        scored = [line for line in told if line.get(follow) is not None]
        if not scored:
            where = f"{{out}}/{self._params.file}" if self._params.file else "the output, with metrics.pattern"
            known = sorted({name for line in told for name in line} - _NO_METRICS)
            found = ", ".join(known) or "no record"
            what = f"the command ended well but told no {follow}; looked in {where}, found {found}"
            raise RunFailure(Kind.EXCEPTION, what)
        best = (min if self._params.mode == "min" else max)(scored, key=lambda line: line[follow])
        metrics = {its: value for its, value in best.items() if its not in _NO_METRICS and _finite(value)}
        return Outcome(metrics, best_epoch=best["epoch"], epochs=told[-1]["epoch"], extra={"command": words})

    def _record(self, record: Record) -> None:
        found = self._watch.see(record, {})
        self._context.health = self._watch.level
        if record["epoch"] in self._recorded:  # a resumed command repeats what came after its checkpoint
            self._rewind(record["epoch"] - 1)
        self._context.record(record)
        self._recorded.add(record["epoch"])
        for finding in found:
            self._context.report(finding)
        wrong = {its: value for its, value in record.items() if self._must_be_finite(its) and not _finite(value)}
        if wrong:
            shown = ", ".join(f"{name} = {value}" for name, value in wrong.items())
            raise RunFailure(Kind.DIVERGED, f"epoch {record['epoch']}: {shown}; the command was ended")

    def _must_be_finite(self, name: str) -> bool:
        return name == self._params.follow or "loss" in name

    def _rewind(self, epoch: int) -> None:
        self._context.rewind(epoch)
        self._recorded = {its for its in self._recorded if its <= epoch}


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
