"""What is drawn while somebody watches: one bar, and a row per variant with a mark per seed, those that run first."""

from __future__ import annotations

from statistics import fmean

from rich.console import Group
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.text import Text

from runner.commands.status import (
    COLOURS,
    HEALTH,
    MARKS,
    Status,
    age,
    epoch,
    headline,
    lines,
    metric_name,
    number,
    value_of,
)
from runner.commands.tables import Column, fitted
from runner.rundir.states import RunState

AROUND = 7  # lines that are neither rows of the table nor notes
NOTES = 5  # lines below the table


WAITED_FOR = ("completed", "running", "queued", "unknown")


def epochs(status: Status) -> tuple[float, float]:
    """Epochs done and in all, of the runs that are waited for; one that has not begun counts as many as the others."""
    states = [state for _, state in status.rows if state.state in WAITED_FOR]
    known = [state.epochs for state in states if isinstance(state.epochs, int)]
    if not known:
        return 0, 0
    planned = [(state, state.epochs or sum(known) / len(known)) for state in states]
    done = sum(  # a completed run is done, however early it stopped
        epochs if state.state == "completed" else min(state.epoch or 0, epochs) for state, epochs in planned
    )
    return done, sum(epochs for _, epochs in planned)


def view(status: Status, progress: str, width: int, height: int) -> Group:
    """The frame for a window of this size, in which nothing is broken over lines; `progress`: in words."""
    variants: dict[str, list[RunState]] = {}
    for run, state in status.rows:
        variants.setdefault(run.variant, []).append(state)
    order = {state: place for place, state in enumerate(MARKS)}
    # of a variant its first run counts: one that runs, of several the one with the fewest epochs
    first = {name: min(states, key=lambda state: (order[state.state], state.epoch or 0))
             for name, states in variants.items()}  # fmt: skip
    names = sorted(variants, key=lambda name: order[first[name].state])
    notes = [*lines(status, len(status.rows))][:NOTES]
    room = max(3, height - AROUND - len(notes))
    if len(names) > room:
        notes = [f"… and {len(names) - room + 1:,} more variants", *notes]
        names = names[: room - 1]
    metric, half = metric_name(status), width // 4
    health = [[word for word in HEALTH if any(state.health == word for state in variants[name])] for name in names]
    columns = [
        Column("variant", [name if len(name) <= 2 * half else f"{name[: half - 1]}…{name[-half:]}" for name in names]),
        Column("seeds", [_marks(variants[name]) for name in names]),
        Column("epoch", [epoch(first[name]) for name in names], right=True),
        Column(metric, [_value(variants[name], metric) for name in names], right=True),
        Column("health", [Text(words[-1], HEALTH[words[-1]]) if words else "" for words in health], keep=50),
        Column("age", [age(first[name]) for name in names], right=True, keep=30),
    ]
    done, total = epochs(status)
    bar = ProgressBar(total=total or len(status.rows), completed=done if total else status.done, width=width)
    above, below = progress.split("; "), ["● completed, ▶ running, · waiting, ✗ failed", *notes]
    return Group(*_whole(headline(status)), Padding(bar, 0), *_whole(*above), fitted(columns, width), *_whole(*below))


def _whole(*lines: str) -> list[Text]:
    return [Text(line, no_wrap=True, overflow="ellipsis") for line in lines]


def _marks(states: list[RunState]) -> Text:
    return Text.assemble(*((MARKS[state.state], COLOURS[state.state]) for state in states))


def _value(states: list[RunState], metric: str) -> str:
    """The mean over the completed seeds, else of what the others report."""
    reported = [value_of(state, metric) for state in ([state for state in states if state.result] or states)]
    values = [value for value in reported if value is not None]
    return number(fmean(values) if values else None)
