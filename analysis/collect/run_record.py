"""One run as the summary sees it: what its files say, and the findings about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from analysis.collect import reading
from analysis.collect.code_version import code_version
from analysis.collect.predictions import Spread, read_predictions, spread
from analysis.formatting import plural
from runner.files import as_count
from runner.health.findings import Finding
from runner.health.judgement import Ending, Logs, finished_findings, live_findings
from runner.health.quantities import LATE
from runner.health.thresholds import Thresholds
from runner.rundir.failures import Failure
from runner.rundir.layout import RunDir
from runner.rundir.result import Result

MOST_NOTES = 10  # of a run
LAST_ROWS = 32  # more than a model has fused layers


@dataclass
class RunRecord:
    """Read from files alone. The state of the run is not in it: `runner.rundir.states` derives that."""

    run_id: str
    completed: bool = False
    result: Result = field(default_factory=Result)  # empty unless completed
    code: str | None = None  # the version it was made with
    epoch: int | None = None  # the last one logged
    last: dict[str, float] = field(default_factory=dict)  # finite metrics of that epoch
    mean_predictor: float | None = None  # validation error of predicting the mean
    failure: dict[str, Any] | None = None  # kind and message
    findings: list[Finding] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # what could not be read

    @property
    def loss_weights(self) -> dict[str, str]:
        """Dotted key → the part of the loss that it weighs, where the task says so."""
        weights = self.result.extra.get("loss_weights")
        return {str(key): str(part) for key, part in weights.items()} if isinstance(weights, dict) else {}

    @property
    def notes(self) -> list[str]:
        """What the task says a reader must know."""
        notes = self.result.extra.get("notes")
        return [str(note)[:500] for note in notes[:MOST_NOTES]] if isinstance(notes, list) else []


@dataclass(frozen=True)
class ReadingOptions:
    """What reading a run depends on besides its files."""

    metric: str
    mode: str
    thresholds: Thresholds
    user_code: bool = True  # whether the task runs code of the user's


def read_run(
    run: RunDir,
    files: frozenset[str],
    params: Mapping[str, Any],
    options: ReadingOptions,
    unreadable: frozenset[str] = frozenset(),
) -> RunRecord:
    """Everything the summary needs of `run`; `files`: the names in its directory; `unreadable`: what is no file."""
    record = RunRecord(run.run_id)
    record.problems += [f"{name} cannot be read" for name in sorted(unreadable)]
    _read_result(record, run, files, options)
    _read_failure(record, run, files)
    _read_logs(record, run, files, params, options)
    return record


def _read_result(record: RunRecord, run: RunDir, files: frozenset[str], options: ReadingOptions) -> None:
    if run.result.name not in files:
        return
    result = Result.of(reading.json_object(run.result))
    if result is None:
        record.problems.append("result.json is not readable")
        return
    if result.run_id not in (None, run.run_id):
        record.problems.append(f"result.json belongs to another run ({result.run_id})")
        return
    record.completed, record.result = True, replace(result, unusable=())
    if result.unusable:
        record.problems.append(f"result.json: {', '.join(result.unusable)} not a finite number")
    if run.provenance.name in files:
        made_with = reading.json_object(run.provenance)
        record.problems += [] if made_with else ["provenance.json cannot be read, so its code is not compared"]
        record.code = code_version(made_with or {}, user_code=options.user_code)


def _read_failure(record: RunRecord, run: RunDir, files: frozenset[str]) -> None:
    if run.failure.name not in files:
        return
    failure = Failure.of(reading.json_object(run.failure))
    if failure is None:
        record.problems.append("failure.json is not readable")
        failure = Failure()
    message = failure.message.strip()
    record.failure = {"kind": failure.kind.value, "message": message.splitlines()[0][:300] if message else ""}


def _read_logs(
    record: RunRecord, run: RunDir, files: frozenset[str], params: Mapping[str, Any], options: ReadingOptions
) -> None:
    """Curves, fusion weights and diagnostics, and the findings that follow from them."""
    history, broken = reading.json_lines(reading.read_bytes(run.metrics)) if run.metrics.name in files else ([], 0)
    history = newest_epochs(history)
    if broken:
        record.problems.append(f"metrics.jsonl: {plural(broken, 'unreadable line')}")
    if history:
        record.last = reading.finite_items(history[-1])
        record.epoch = as_count(record.last.get("epoch"))
    rows, broken = _fusion_rows(run, files)
    if broken:
        record.problems.append(f"fusion_weights.csv: {plural(broken, 'unreadable line')}")
    tail = reading.read_tail(run.diagnostics) if run.diagnostics.name in files else b""
    newest = reading.newest_object(tail)
    logs = Logs(history, rows, [newest] if newest else [])
    if not record.completed:
        record.findings = live_findings(logs, params, options.thresholds)
        return
    result = record.result
    spreads = spread(read_predictions(run.predictions, "val")) if run.predictions.name in files else Spread()
    record.mean_predictor = result.metrics.get("val_mae_of_mean", spreads.mean_predictor)
    ending = Ending(
        metric=options.metric,
        mode=options.mode,
        metrics=result.metrics,
        best_epoch=result.best_epoch,
        epochs=result.epochs,
        fusion=result.fusion,
        prediction_sd=spreads.prediction_sd,
        target_sd=spreads.target_sd,
    )
    record.findings = finished_findings(logs, ending, params, options.thresholds)


def newest_epochs(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One record per epoch, in order: an epoch that was trained again after a restart replaces the older line."""
    if all(history[i].get("epoch") == i + 1 for i in range(len(history))):
        return history
    by_epoch = {record["epoch"]: record for record in history if as_count(record.get("epoch")) is not None}
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def _fusion_rows(run: RunDir, files: frozenset[str]) -> tuple[list[dict[str, Any]], int]:
    """The newest rows of fusion_weights.csv; all of them where a late gate was logged, whose history is judged."""
    data = reading.read_bytes(run.fusion_weights) if run.fusion_weights.name in files else b""
    rows, broken = reading.table_rows(data, LAST_ROWS)
    if any(row["layer"] == LATE and "gate_mean" in row for row in rows if "layer" in row):
        rows, broken = reading.table_rows(data)
    return rows, broken
