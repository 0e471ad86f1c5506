"""`runner expand`: the runs of an experiment file, and what already exists of them."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from rich.table import Table

from runner.commands.loading import Loaded
from runner.expansion import Run
from runner.files import read_json
from runner.quantities import human_seconds

TABLE_ROWS = 50


def as_json(loaded: Loaded) -> str:
    """The runs as JSON, with their whole parameters."""
    runs = [
        {"run_id": r.run_id, "variant": r.variant, "seed": r.seed, "axes": r.axes, "params": r.params}
        for r in loaded.expansion.runs
    ]
    return json.dumps({"experiment": loaded.experiment.experiment, "runs": runs}, allow_nan=False)


def as_csv(loaded: Loaded) -> str:
    """One row a run: number, id, variant, seed, and one column an axis (lists as JSON)."""
    axes = loaded.expansion.axes
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["number", "run_id", "variant", "seed", *axes])
    made: dict[int, str] = {}  # values of the matrix are few objects in many runs
    for run in loaded.expansion.runs:
        cells = [_cell(run.axes[key], made) if key in run.axes else "" for key in axes]
        writer.writerow([run.number, run.run_id, run.variant, run.seed, *cells])
    return buffer.getvalue()


def _cell(value: Any, made: dict[int, str]) -> str:
    if isinstance(value, str):
        return value
    text = made.get(id(value))
    if text is None:
        text = made[id(value)] = json.dumps(value)
    return text


def as_table(loaded: Loaded) -> tuple[Table, list[str]]:
    """The first fifty runs, and lines that count them and say what they may cost."""
    expansion, existing = loaded.expansion, _existing(loaded)
    table = Table(title=f"{loaded.experiment.experiment}: {loaded.experiment.description}".rstrip(": "))
    for name in ("#", "run", "variant", "seed", ""):
        table.add_column(name, justify="right" if name in ("#", "seed") else "left", no_wrap=name in ("#", "run"))
    for run in expansion.runs[:TABLE_ROWS]:
        exists = "exists" if run.run_id in existing else "new"
        base = "  (baseline)" if run.variant == expansion.baseline else ""
        table.add_row(str(run.number), run.run_id, run.variant + base, str(run.seed), exists)
    return table, _lines(loaded, existing)


def _existing(loaded: Loaded) -> set[str]:
    if not loaded.directory.runs.is_dir():
        return set()
    return {entry.name for entry in loaded.directory.runs.iterdir() if entry.is_dir()}


def _lines(loaded: Loaded, existing: set[str]) -> list[str]:
    runs, experiment = loaded.expansion.runs, loaded.experiment
    lines = []
    if len(runs) > TABLE_ROWS:
        lines.append(f"… and {len(runs) - TABLE_ROWS:,} more; --format csv lists all")
    unchanged = sum(run.run_id in existing for run in runs)
    before = read_json(loaded.directory.manifest)
    planned = {run["run_id"] for run in before["runs"]} if before else set()
    gone = len(planned - {run.run_id for run in runs})
    lines.append(
        f"{len(loaded.expansion.variants):,} variants × seeds {experiment.matrix.seeds} = {len(runs):,} runs: "
        f"{len(runs) - unchanged:,} new, {unchanged:,} unchanged, {gone:,} gone from the file"
    )
    if loaded.expansion.left_out:
        lines.append(f"{loaded.expansion.left_out:,} points describe a run that is listed already; they share it")
    estimate = getattr(loaded.task, "disk_bytes", None)
    if estimate is not None:
        total = sum(estimate(run.params) for run in runs[:1000]) * max(1, len(runs) / 1000)
        lines.append(f"estimated disk: {total / 1e9:.1f} GB")
    if experiment.resources.time:
        hours = experiment.resources.time / 3600 * len(runs) / experiment.array.runs_per_task
        what = "GPU hours" if experiment.resources.gpus else "task hours"
        limit = human_seconds(experiment.resources.time)
        lines.append(f"at most {hours * max(1, experiment.resources.gpus):,.1f} {what} (time limit {limit} a task)")
    return lines
