"""Looking at an experiment again and again: `status --watch`, and `submit --wait`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.live import Live

from runner.commands.live import epochs, view
from runner.commands.loading import Loaded
from runner.commands.status import Status, headline, metric_name, take, value_of
from runner.config.quantities import counted, human_seconds
from runner.console import console as console_of
from runner.errors import CommandFailed
from runner.terminal import Voice, tell

LONGEST_S = 30.0  # between two looks at Slurm, for who waits long
SHORTEST_S = 1.0  # for who waits for the end


def wait(loaded: Loaded, run_ids: set[str]) -> None:
    """Show progress until none of these runs is queued or running; CommandFailed when one did not complete."""
    final = watch_all(loaded, run_ids)
    if not final.all_completed:
        raise CommandFailed(
            f"{counted(len(final.rows) - final.done, 'run')} did not complete",
            next_command=f"runner status {loaded.experiment.experiment}",
        )
    tell(f"next: analysis summarize {loaded.experiment.experiment}")


def watch_all(loaded: Loaded, run_ids: set[str]) -> Status:
    """Show progress until none of these runs is queued or running."""
    return watch(lambda: take(loaded.directory).only(run_ids), SHORTEST_S)


def watch(take: Callable[[], Status], shortest: float = LONGEST_S) -> Status:
    """Show what `take` finds until all is finished: redrawn on a terminal, in a pipe a line whenever counts change.

    shortest: seconds between two looks at first.
    """
    console = console_of(stderr=True)
    show = _draw if console.is_terminal and not Voice.quiet else _tell
    try:
        return show(take, shortest, console)
    except KeyboardInterrupt:
        tell("interrupted; runs that were sent go on: runner status shows them, runner cancel stops them")
        raise


def pauses(shortest: float, clock: Callable[[], float] = time.monotonic) -> Iterator[float]:
    """Seconds to wait before the next look: a tenth of the time so far, `shortest` at least and LONGEST_S at most.

    Short runs are seen to end at once, and Slurm is not asked every second for days.
    """
    began = clock()
    while True:
        yield min(LONGEST_S, max(shortest, (clock() - began) / 10))


def _tell(take: Callable[[], Status], shortest: float, console: Console) -> Status:
    progress, before = Progress(), None
    for taken in _looks(take, shortest):
        if taken.counts != before:
            tell("; ".join(filter(None, (headline(taken), progress.line(taken, time.monotonic())))))
            before = taken.counts
    return taken


def _draw(take: Callable[[], Status], shortest: float, console: Console) -> Status:
    progress = Progress()
    with Live(console=console, auto_refresh=False) as live:
        for taken in _looks(take, shortest):
            words = progress.line(taken, time.monotonic())
            live.update(view(taken, words, console.width, console.height), refresh=True)
    return taken


def _looks(take: Callable[[], Status], shortest: float) -> Iterator[Status]:
    """What `take` finds, again and again until all has ended."""
    for pause in pauses(shortest):
        yield (taken := take())
        if taken.has_ended:
            return
        time.sleep(pause)


class Progress:
    """Remembers the first look, from which the speed follows."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None  # s, epochs done

    def line(self, status: Status, now: float) -> str:
        """`52 of 120 epochs, about 3m20s left; val_mae 0.2073 (layers=1)`; empty before the first epoch."""
        done, total = epochs(status)
        began, before = self._first = self._first or (now, done)
        parts = [f"{done:,.0f} of {total:,.0f} epochs"] if total else []
        left = (total - done) * (now - began) / (done - before) if before < done < total else 0.0
        parts += [f"about {human_seconds(left)} left"] if left else []
        return "; ".join(filter(None, (", ".join(parts), best(status))))


def best(status: Status) -> str:
    """The best value among the runs so far, and whose it is; empty where none has one."""
    name = metric_name(status)
    values = [(value, run) for run, state in status.rows if (value := value_of(state, name)) is not None]
    if not values:
        return ""
    value, run = min(values, key=lambda pair: status.manifest.select.sign * pair[0])
    several = len({planned.seed for planned, _ in status.rows}) > 1
    return f"best {name} so far {value:.4g} ({run.variant}{f', seed {run.seed}' if several else ''})"
