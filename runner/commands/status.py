"""`runner status`: how far an experiment is, one row per run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table
from rich.text import Text

from runner.commands.tables import Column, fitted
from runner.config.quantities import counted, human_seconds, shortened
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir
from runner.rundir.ledger import search_lines
from runner.rundir.manifest import Entry
from runner.rundir.planned import Manifest, PlannedRun
from runner.rundir.result import cost_line
from runner.rundir.states import STATES, RunState, counts
from runner.submit.scheduler_snapshot import Queue
from runner.submit.survey import survey
from runner.terminal import tell

TABLE_ROWS = 60
NOTES = 10
NUMBERS = 12  # of runs that share a note
NOTE_LENGTH = 200
COLOURS = {
    "completed": "green",
    "running": "cyan",
    "queued": "blue",
    "failed": "red",
    "cancelled": "yellow",
    "dropped": "dim",
    "unknown": "bold yellow",
    "lost": "magenta",
    "incomplete": "yellow",
    "new": "dim",
}
MARKS = {  # what is looked at first comes first
    "running": "▶",
    "failed": "✗",
    "lost": "✗",
    "unknown": "?",
    "incomplete": "?",
    "cancelled": "–",
    "queued": "·",
    "new": "·",
    "completed": "●",
    "dropped": "–",
}
HEALTH = {"ok": "green", "warning": "yellow", "blocking": "red"}


@dataclass(frozen=True)
class Status:
    """The runs of an experiment with their states at one moment."""

    directory: ExperimentDir
    manifest: Manifest
    rows: list[tuple[PlannedRun, RunState]]
    queue: Queue
    supervision: Entry | None = None  # the last word about it

    @property
    def gone(self) -> list[PlannedRun]:
        """Runs that a scheduler still has, although the experiment file no longer has them."""
        known = {run.run_id for run in self.manifest.runs}
        return [PlannedRun(run_id, run_id) for run_id in sorted(self.queue.places) if run_id not in known]

    def only(self, run_ids: set[str]) -> Status:
        """The same of some runs."""
        return replace(self, rows=[(run, state) for run, state in self.rows if run.run_id in run_ids])

    @property
    def counts(self) -> dict[str, int]:
        return counts(state for _, state in self.rows)

    @property
    def has_ended(self) -> bool:
        """Whether no run is queued or running any more, as far as that is known."""
        return not any(state.state in ("queued", "running", "unknown") for _, state in self.rows)

    @property
    def done(self) -> int:
        """Runs that need nothing more: completed, or dropped by a search."""
        return self.counts.get("completed", 0) + self.counts.get("dropped", 0)

    @property
    def all_completed(self) -> bool:
        return self.done == len(self.rows)


def take(directory: ExperimentDir, known: Manifest | None = None) -> Status:
    """The states of all runs: files first, then one look at the schedulers for those that are not completed."""
    plan = known or manifest.read(directory)
    states, queue = survey(directory, (run.run_id for run in plan.runs))
    rows = [(run, states[run.run_id]) for run in plan.runs]
    return Status(directory, plan, rows, queue, manifest.supervision(directory))


def as_json(status: Status) -> str:
    """Counts and one object a run."""
    metric = metric_name(status)
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
            "metric": metric,
            "value": value_of(state, metric),
            "health": state.health,
            "age_seconds": state.age,
            "job": state.job,
            "message": state.message,
        }
        for run, state in status.rows
    ]
    content = {"experiment": status.manifest.experiment, "counts": status.counts, "runs": runs}
    return json.dumps(content, allow_nan=False)


def show(status: Status, console: Console) -> None:
    """Print the table and what stands around it."""
    console.print(headline(status))
    console.print(as_table(status, console.width))
    if below := list(lines(status)):
        console.print("", *below, sep="\n")
    if status.queue.unanswered:
        tell(f"Slurm does not answer; these states are from files alone: {status.queue.unanswered}")


def as_table(status: Status, width: int, limit: int = TABLE_ROWS) -> Table:
    """One row per run, `limit` at most."""
    rows = shown(status, limit)
    states = [state for _, state in rows]
    several_seeds = len({run.seed for run, _ in status.rows}) > 1
    return fitted(
        [
            Column("#", [str(run.number) for run, _ in rows], right=True),
            Column("variant", [run.variant for run, _ in rows], fold=True),
            Column("seed", [str(run.seed) if several_seeds else "" for run, _ in rows], right=True),
            Column(
                "state",
                [Text(f"{s.state} ({s.kind})" if s.state == "failed" else s.state, COLOURS[s.state]) for s in states],
            ),
            Column("try", [str(state.attempt) if state.attempt > 1 else "" for state in states], right=True, keep=40),
            Column("epoch", [epoch(state) for state in states], right=True),
            Column(metric_name(status), [number(value_of(state, metric_name(status))) for state in states], True),
            Column(
                "health", [Text(state.health or "", HEALTH.get(state.health or "", "")) for state in states], keep=50
            ),
            Column("age", [age(state) for state in states], right=True, keep=30),
            Column(
                "job", [state.job or "" if state.state in ("queued", "running") else "" for state in states], keep=20
            ),
            Column("run", [run.run_id for run, _ in rows], keep=10),
        ],
        width,
    )


def shown(status: Status, limit: int) -> list[tuple[PlannedRun, RunState]]:
    """All rows in their order; where there are too many, those that are not completed come first."""
    if len(status.rows) <= limit:
        return status.rows
    order = [*STATES[1:], STATES[0]]
    return sorted(status.rows, key=lambda row: order.index(row[1].state))[:limit]


def lines(status: Status, limit: int = TABLE_ROWS) -> Iterator[str]:
    """What stands below the table: why runs failed or wait, and what the table leaves out."""
    if len(status.rows) > limit:
        yield f"… and {len(status.rows) - limit:,} more; --format json lists all"
    if search := status.manifest.search:
        points = list(dict.fromkeys(run.point for run in status.manifest.runs))
        yield from search_lines(status.directory, search, points)
    notes: dict[str, list[str]] = {}
    for run, state in shown(status, limit):
        if state.message and state.state not in ("completed", "dropped"):
            notes.setdefault(f"{state.state}: {_first_line(state.message)}", []).append(f":{run.number}")
    for note, numbers in list(notes.items())[:NOTES]:
        yield f"{shortened(numbers, NUMBERS)} {note}"
    if len(notes) > NOTES:
        yield f"… and {counted(len(notes) - NOTES, 'note')} more; --format json lists all"
    if cost := cost_line(state.result.cost for _, state in status.rows if state.result):
        yield cost
    if any(state.state == "failed" for _, state in status.rows):
        yield f"why in full: runner failures {status.manifest.experiment}"
    if supervision := _supervision(status):
        yield supervision
    if status.gone:
        yield gone_line([run.run_id for run in status.gone], status.manifest.experiment)


def gone_line(run_ids: Sequence[str], experiment: str) -> str:
    """Which runs the experiment file no longer has, and how to stop them."""
    what = f"gone from the experiment file, and still queued or running: {shortened(run_ids, 8)}"
    return f"{what}; runner cancel {experiment} --state gone stops them"


def _supervision(status: Status) -> str | None:
    """Who looks after the experiment, or why nobody does any more."""
    last, jobs = status.supervision, status.queue.jobs
    if last and last.event == "supervision_failed":
        return f"its supervisor could not go on: {_first_line(str(last.message))}"
    if not last or last.event != "supervised" or jobs is None:
        return None
    if last.job_id in jobs:
        return f"supervised by job {last.job_id}"
    log = status.directory.submission(last.submission or 0) / "supervisor"
    return f"its supervisor, job {last.job_id}, is gone without a word; what it wrote is in {log}"


def headline(status: Status) -> str:
    """`stage1: 18 runs: 12 completed, 4 running, 2 queued`"""
    parts = ", ".join(f"{number:,} {state}" for state, number in status.counts.items())
    return f"{status.manifest.experiment}: {counted(len(status.rows), 'run')}" + (f": {parts}" if parts else "")


def metric_name(status: Status) -> str:
    """What ranks the variants."""
    return status.manifest.select.metric


def value_of(state: RunState, metric: str) -> float | None:
    """The metric at the best epoch of a completed run, else at the last epoch of one that reports that metric."""
    if state.result is not None:
        return state.result.metrics.get(metric)
    return state.value if state.metric == metric else None


def epoch(state: RunState) -> str:
    return "" if state.epoch is None else f"{state.epoch}/{state.epochs}" if state.epochs else str(state.epoch)


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if abs(value) >= 0.001 or value == 0 else f"{value:.2e}"


def age(state: RunState) -> str:
    return "" if state.age is None else human_seconds(max(0, state.age))


def _first_line(message: str) -> str:
    line = message.split("\n")[0]
    return line if len(line) <= NOTE_LENGTH else line[: NOTE_LENGTH - 1] + "…"
