"""What a task is given to run with: where to write, what to report, and whether it should stop."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs.failure import STOP_REASONS, Stopped
from jobs.heartbeat import HeartbeatThread
from jobs.log import say
from jobs.patience import patiently
from runner.files import append_json, append_line, content, read_json_lines, write_text
from runner.health.findings import Finding, sentence
from runner.health.thresholds import DEFAULT, Thresholds
from runner.rundir.cache_root import cache_root as shared_cache_root
from runner.rundir.layout import RunDir

FUSION_COLUMNS = (
    "w_graph", "w_text", "ratio", "contribution_ratio", "text_scale", "node_scale", "gate_mean", "gate_std",
)  # fmt: skip
_FUSION_HEADER = ("epoch", "layer", *FUSION_COLUMNS)


class RunContext:
    """The surroundings of one attempt of one run.

    The three logs (metrics.jsonl, fusion_weights.csv, diagnostics.jsonl) get one line per epoch. A task
    records an epoch before it writes the checkpoint that contains it, and calls `rewind` with the last epoch of the
    checkpoint it resumes from: then every epoch stands in the logs exactly once.
    """

    def __init__(
        self,
        directory: RunDir,
        *,
        variant: str = "",
        seed: int = 0,
        attempt: int = 1,
        threads: int = 1,
        gpus: int = 0,
        cache_root: Path | None = None,
        heartbeat: HeartbeatThread | None = None,
        thresholds: Thresholds = DEFAULT,
        params: Mapping[str, Any] | None = None,
        config_dir: Path | None = None,
        below: RunDir | None = None,
        keep_stable: bool = False,
    ) -> None:
        self.directory = directory  # its paths: last_checkpoint, best_checkpoint, logs
        self.run_id = directory.run_id  # readable axis values and eight digits of a hash
        self.variant = variant  # the name of the point of the matrix
        self.seed = seed  # of the run; the parameter `seed_key` has it too
        self.attempt = attempt  # counted from 1
        self.threads = threads  # of CPU arithmetic; from the configuration, so that results can be repeated bit for bit
        self.gpus = gpus  # that the run may use: cuda:0 and on
        self.cache_root = cache_root or shared_cache_root()  # for what all runs share
        self.thresholds = thresholds  # of the health rules, as the experiment file sets them
        self.params = params or {}  # of the run, as configured: what advice may name
        self.config_dir = config_dir  # the folder of the experiment file
        self.below = below  # the run with the next smaller budget of a search, from which this one may begin
        self.keep_stable = keep_stable  # write stable.pt for the run with the next larger one
        self.health: str | None = None  # ok, warning or blocking; written with the next epoch
        self.stop_reason: str | None = None  # preempted, timeout, cancelled or parent_gone, once the run has to stop
        self._heartbeat = heartbeat
        self._metric: str | None = None

    def ask_to_stop(self, reason: str) -> None:
        """Set `stop_reason`: the task writes its checkpoint at the next step and raises `Stopped`."""
        if reason not in STOP_REASONS:
            raise ValueError(f"stop reason {reason!r}; allowed: {', '.join(STOP_REASONS)}")
        self.stop_reason = reason

    def raise_if_stopped(self) -> None:
        """Raise `Stopped` when the run was asked to stop; for places where nothing needs to be saved."""
        if self.stop_reason is not None:
            raise Stopped(self.stop_reason, self.directory.last_checkpoint.exists())

    def say(self, text: str) -> None:
        """One line in the log, with the time."""
        say(text)

    def warn(self, text: str) -> None:
        """A line in the log that something deserves attention."""
        self.say(f"warning: {text}")

    def report(self, finding: Finding) -> None:
        """A line in the log about the health of the run."""
        self.say(f"{'note' if finding.level == 'info' else 'warning'}: {sentence(finding)}")

    def plan(self, epochs: int | None, metric: str | None = None) -> None:
        """Say for `status` how many epochs are planned (None: unknown) and which metric is followed."""
        self._metric = metric
        self._beat(epochs=epochs, metric=metric)

    def record(self, values: Mapping[str, Any]) -> None:
        """Append an epoch to metrics.jsonl, with attempt and time; a number that is not finite becomes null."""
        metric = self._metric or next((name for name in values if name.startswith("val_")), None)
        known = {"metric": metric, "value": as_json(values[metric])} if metric is not None and metric in values else {}
        self._beat(epoch=values.get("epoch"), health=self.health, **known)  # else the last value stays
        self._append(self.directory.metrics, values)

    def record_fusion(self, epoch: int, layers: Mapping[str, Mapping[str, float]]) -> None:
        """Append one row per fused layer to fusion_weights.csv; other quantities belong into `record_diagnostics`."""
        rows: list[list[Any]] = []
        for layer, values in layers.items():
            if unknown := sorted(set(values) - set(FUSION_COLUMNS)):
                raise ValueError(f"fusion_weights.csv has no column {unknown}; allowed: {', '.join(FUSION_COLUMNS)}")
            cells = as_json(dict(values))
            rows.append([epoch, layer, *("" if cells.get(c) is None else repr(cells[c]) for c in FUSION_COLUMNS)])
        path = self.directory.fusion_weights
        if not path.exists() or path.stat().st_size == 0:
            write_text(path, ",".join(_FUSION_HEADER) + "\n")
        if rows:
            patiently(lambda: append_line(path, _csv(rows).rstrip("\n")))

    def record_layers(self, epoch: int, layers: Mapping[str, Mapping[str, Any]], findings: Sequence[Finding]) -> None:
        """What fused layers reported, to fusion_weights.csv and diagnostics.jsonl; and what was found in the epoch."""
        rows = {
            layer: {name: value for name, value in values.items() if name in FUSION_COLUMNS}
            for layer, values in layers.items()
        }
        if any(rows.values()):
            self.record_fusion(epoch, {layer: values for layer, values in rows.items() if values})
        lists = {"layers": layers, "findings": [finding.as_dict() for finding in findings]}
        if any(lists.values()):
            self.record_diagnostics({"epoch": epoch, **{name: value for name, value in lists.items() if value}})

    def write_predictions(self, rows: Iterable[tuple[str, str, float, float]]) -> None:
        """Replace predictions.csv; `rows`: id, split, target, prediction, the numbers with all their digits."""
        cells = [[item, split, repr(target), repr(prediction)] for item, split, target, prediction in rows]
        write_text(self.directory.predictions, _csv([["id", "split", "target", "prediction"], *cells]))

    def record_diagnostics(self, values: Mapping[str, Any]) -> None:
        """Append a line to diagnostics.jsonl; give `epoch`, so that a resumed run can rewind it."""
        self._append(self.directory.diagnostics, values)

    def _append(self, path: Path, values: Mapping[str, Any]) -> None:
        line = {**as_json(dict(values)), "attempt": self.attempt, "time": time.time()}
        patiently(lambda: append_json(path, line))

    def rewind(self, epoch: int) -> None:
        """Drop what was recorded after `epoch` (0: everything), and half-written lines, from the three logs."""
        for path in (self.directory.metrics, self.directory.diagnostics):
            if path.exists():
                kept = [line for line in read_json_lines(path) if line.get("epoch", 0) <= epoch]
                write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
        path = self.directory.fusion_weights
        if path.exists():
            lines = content(path).decode("utf-8", "replace").splitlines()
            rows = (row for row in csv.reader(lines) if len(row) == len(_FUSION_HEADER) and row[0].isdecimal())
            write_text(path, _csv([list(_FUSION_HEADER), *(row for row in rows if int(row[0]) <= epoch)]))

    def _beat(self, **progress: Any) -> None:
        if (heartbeat := self._heartbeat) is not None:
            patiently(lambda: heartbeat.beat(**progress))


def as_json(value: Any) -> Any:
    """`value` as JSON can hold it: NaN and infinities become null, numbers of NumPy and torch become plain ones."""
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if hasattr(value, "tolist"):
        return as_json(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def not_finite(metrics: Mapping[str, float]) -> str:
    """Those of `metrics` that are no finite numbers, for a message; empty where all are."""
    return ", ".join(f"{name} = {value}" for name, value in metrics.items() if not math.isfinite(value))


def _csv(rows: list[list[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
