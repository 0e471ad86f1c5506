"""`runner status`: how far an experiment is, a row a run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from runner import manifest
from runner.layout import ExperimentDir
from runner.manifest import Manifest, PlannedRun
from runner.quantities import human_seconds
from runner.queue import Queue, look
from runner.states import STATES, RunState, counts, run_state

TABLE_ROWS = 60
COLOURS = {
    "completed": "green",
    "running": "cyan",
    "queued": "blue",
    "failed": "red",
    "cancelled": "yellow",
    "lost": "magenta",
    "new": "dim",
}


HEALTH = {"ok": "green", "warning": "yellow", "blocking": "red"}


@dataclass(frozen=True)
class Status:
    """The runs of an experiment with their states at one moment."""

    directory: ExperimentDir
    manifest: Manifest
    rows: list[tuple[PlannedRun, RunState]]
    queue: Queue

    @property
    def counts(self) -> dict[str, int]:
        return counts(state for _, state in self.rows)

    @property
    def finished(self) -> bool:
        """Whether no run is queued or running any more."""
        return not any(state.state in ("queued", "running") for _, state in self.rows)

    @property
    def all_completed(self) -> bool:
        return all(state.state == "completed" for _, state in self.rows)


def take(directory: ExperimentDir, known: Manifest | None = None) -> Status:
    """The states of all runs: files first, then one look at the schedulers for those that are not completed."""
    plan = known or manifest.read(directory)
    states = {run.run_id: run_state(directory.run(run.run_id)) for run in plan.runs}
    open_runs = {run_id for run_id, state in states.items() if state.state != "completed"}
    queue = look(directory, open_runs) if open_runs else Queue()
    for run_id in open_runs & set(queue.places):
        states[run_id] = run_state(directory.run(run_id), queue.places[run_id])
    return Status(directory, plan, [(run, states[run.run_id]) for run in plan.runs], queue)


def as_json(status: Status) -> str:
    """Counts and one object a run."""
    runs = [
        {
            "run_id": run.run_id,
            "variant": run.variant,
            "seed": run.seed,
            "state": state.state,
            "kind": state.kind,
            "attempt": state.attempt,
            "epoch": state.epoch,
            "epochs": state.epochs,
            "metric": state.metric,
            "value": state.value,
            "health": state.health,
            "age_seconds": state.age,
            "job": state.job,
            "message": state.message,
        }
        for run, state in status.rows
    ]
    content: dict[str, Any] = {"experiment": status.manifest.experiment, "counts": status.counts, "runs": runs}
    return json.dumps(content, allow_nan=False)


def as_table(status: Status) -> Table:
    """A row a run; of many runs those that are not completed first, then the rest up to sixty."""
    table = Table(title=headline(status), title_justify="left", title_style="bold")
    for name, justify in (("#", "right"), ("run", "left"), ("state", "left"), ("try", "right"), ("epoch", "right")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column(_metric_name(status), justify="right", no_wrap=True)
    table.add_column("health", no_wrap=True)
    table.add_column("age", justify="right", no_wrap=True)
    table.add_column("note", overflow="fold")
    shown = sorted(status.rows, key=lambda row: STATES.index(row[1].state) if len(status.rows) > TABLE_ROWS else 0)
    if len(status.rows) > TABLE_ROWS:
        shown = [row for row in shown if row[1].state != "completed"] + [r for r in shown if r[1].state == "completed"]
    for run, state in shown[:TABLE_ROWS]:
        table.add_row(str(run.number), run.run_id, *_cells(state))
    if len(shown) > TABLE_ROWS:
        table.caption = f"… and {len(shown) - TABLE_ROWS:,} more; --format json lists all"
    return table


def headline(status: Status) -> str:
    """`stage1: 18 runs — 12 completed, 4 running, 2 queued`"""
    parts = ", ".join(f"{number} {state}" for state, number in status.counts.items())
    return f"{status.manifest.experiment}: {len(status.rows):,} runs — {parts or 'none'}"


def _metric_name(status: Status) -> str:
    return str(status.manifest.content.get("select", {}).get("metric", "metric"))


def _cells(state: RunState) -> list[str | Text]:
    word = f"{state.state} ({state.kind})" if state.state == "failed" else state.state
    epoch = "" if state.epoch is None else f"{state.epoch}/{state.epochs}" if state.epochs else str(state.epoch)
    value = "" if state.value is None else f"{state.value:.4f}"
    age = "" if state.age is None else human_seconds(max(0, state.age))
    note = state.message or ""
    if state.state == "queued" and state.job:
        note = f"{state.job} {note}".strip()
    health = Text(state.health or "", HEALTH.get(state.health or "", ""))
    return [
        Text(word, COLOURS[state.state]),
        str(state.attempt or ""),
        epoch,
        value,
        health,
        age,
        note.split("\n")[0][:100],
    ]
