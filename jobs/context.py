"""What a task is given to run with: where to write, what to report, and whether it should stop."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.thresholds import DEFAULT, Thresholds
from jobs.failure import STOP_REASONS, Stopped
from jobs.heartbeat import Heartbeat
from jobs.log import say
from runner.files import append_json, append_line, read_json_lines, write_text
from runner.layout import RunDir

FUSION_COLUMNS = (
    "w_graph", "w_text", "ratio", "contribution_ratio", "text_scale", "node_scale", "gate_mean", "gate_std",
)  # fmt: skip
_FUSION_HEADER = ("epoch", "layer", *FUSION_COLUMNS)


def default_cache_root() -> Path:
    """RUNNER_CACHE, else ~/.cache/runner."""
    return Path(os.environ.get("RUNNER_CACHE") or Path.home() / ".cache" / "runner")


class RunContext:
    """The surroundings of one attempt of one run.

    The three logs (metrics.jsonl, fusion_weights.csv, diagnostics.jsonl) are appended to, a line an epoch. A task
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
        heartbeat: Heartbeat | None = None,
        thresholds: Thresholds = DEFAULT,
        initial_scale: float | None = None,
        config_dir: Path | None = None,
    ) -> None:
        self.directory = directory
        self.run_id = directory.run_id
        self.variant = variant
        self.seed = seed
        self.attempt = attempt  # counted from 1
        self.threads = threads  # of CPU arithmetic; from the configuration, so that results can be repeated bit for bit
        self.gpus = gpus
        self.cache_root = cache_root or default_cache_root()
        self.thresholds = thresholds  # of the health rules, as the experiment file sets them
        self.initial_scale = initial_scale  # where the task learns a scale of the text
        self.config_dir = config_dir  # the folder of the experiment file
        self.health: str | None = None  # ok, warning or blocking; told with the next epoch
        self.stop_reason: str | None = None
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
            raise Stopped(self.stop_reason)

    def say(self, text: str) -> None:
        """One line in the log, with the time."""
        say(text)

    def warn(self, text: str) -> None:
        """A line in the log that something deserves attention."""
        self.say(f"warning: {text}")

    def plan(self, epochs: int | None, metric: str | None = None) -> None:
        """Tell those who watch how many epochs are planned (None: unknown) and which metric is followed."""
        self._metric = metric
        self._beat(epochs=epochs, metric=metric)

    def record(self, values: Mapping[str, Any]) -> None:
        """Append an epoch to metrics.jsonl, with attempt and time; a number that is not finite becomes null."""
        self._beat_for(values)
        append_json(self.directory.metrics, {**as_json(dict(values)), "attempt": self.attempt, "time": time.time()})

    def record_fusion(self, epoch: int, layers: Mapping[str, Mapping[str, float]]) -> None:
        """Append a row a fused layer to fusion_weights.csv; other quantities belong into `record_diagnostics`."""
        rows: list[list[Any]] = []
        for layer, values in layers.items():
            unknown = sorted(set(values) - set(FUSION_COLUMNS))
            if unknown:
                raise ValueError(f"fusion_weights.csv has no column {unknown}; allowed: {', '.join(FUSION_COLUMNS)}")
            found = as_json(dict(values))
            rows.append([epoch, layer, *("" if found.get(c) is None else repr(found[c]) for c in FUSION_COLUMNS)])
        path = self.directory.fusion_weights
        if not path.exists() or path.stat().st_size == 0:
            write_text(path, ",".join(_FUSION_HEADER) + "\n")
        if rows:
            append_line(path, _csv(rows).rstrip("\n"))

    def record_diagnostics(self, values: Mapping[str, Any]) -> None:
        """Append a line to diagnostics.jsonl; give `epoch`, so that a resumed run can rewind it."""
        append_json(self.directory.diagnostics, {**as_json(dict(values)), "attempt": self.attempt, "time": time.time()})

    def rewind(self, epoch: int) -> None:
        """Drop what was recorded after `epoch` (0: everything), and half-written lines, from the three logs."""
        for path in (self.directory.metrics, self.directory.diagnostics):
            if path.exists():
                kept = [line for line in read_json_lines(path) if line.get("epoch", 0) <= epoch]
                write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
        path = self.directory.fusion_weights
        if path.exists():
            with open(path, newline="", encoding="utf-8") as file:
                rows = [row for row in csv.reader(file) if len(row) == len(_FUSION_HEADER)]
            kept_rows = [row for row in rows if row[0].isdecimal() and int(row[0]) <= epoch]
            write_text(path, _csv([list(_FUSION_HEADER), *kept_rows]))

    def _beat_for(self, values: Mapping[str, Any]) -> None:
        metric = self._metric or next((name for name in values if name.startswith("val_")), None)
        known = {"metric": metric, "value": as_json(values[metric])} if metric is not None and metric in values else {}
        self._beat(epoch=values.get("epoch"), health=self.health, **known)  # else the last value stays

    def _beat(self, **progress: Any) -> None:
        if self._heartbeat is not None:
            self._heartbeat.beat(**progress)


def as_json(value: Any) -> Any:
    """`value` as JSON can hold it: NaN and infinities become null, numbers of NumPy and torch become plain ones."""
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if hasattr(value, "tolist"):
        return as_json(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _csv(rows: list[list[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
