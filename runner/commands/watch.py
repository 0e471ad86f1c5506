"""Looking at an experiment again and again: `status --watch`, and `submit --wait`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.live import Live

from runner.commands import status as command
from runner.commands.live import view
from runner.commands.loading import Loaded
from runner.commands.progress import Progress
from runner.commands.status import Status
from runner.config.quantities import counted
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
    return watch(lambda: command.take(loaded.directory).only(run_ids), SHORTEST_S)


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
            tell("; ".join(filter(None, (command.headline(taken), progress.line(taken, time.monotonic())))))
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
        if taken.finished:
            return
        time.sleep(pause)
