"""How far the runs of an experiment are, when they will be done, the best metric so far: one line for who waits."""

from __future__ import annotations

from runner.commands.status import Status, metric_name, value_of
from runner.config.quantities import human_seconds

WAITED_FOR = ("completed", "running", "queued", "unknown")


class Progress:
    """Remembers the first look, from which the speed follows."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None  # s, epochs done

    def line(self, status: Status, now: float) -> str:
        """`52 of 120 epochs, about 3m20s left; val_mae 0.2073 (layers=1)`; empty before the first epoch."""
        done, total = epochs(status)
        if self._first is None:
            self._first = now, done
        parts = [f"{done:,.0f} of {total:,.0f} epochs"] if total else []
        left = self._seconds_left(done, total, now)
        parts += [f"about {human_seconds(left)} left"] if left else []
        leader = best(status)
        return "; ".join(part for part in (", ".join(parts), leader) if part)

    def _seconds_left(self, done: float, total: float, now: float) -> float | None:
        assert self._first is not None
        began, before = self._first
        gained = done - before
        return (total - done) * (now - began) / gained if gained > 0 and done < total else None


def epochs(status: Status) -> tuple[float, float]:
    """Epochs done and in all, of the runs that are waited for; one that has not begun counts as many as the others."""
    states = [state for _, state in status.rows if state.state in WAITED_FOR]
    known = [state.epochs for state in states if isinstance(state.epochs, int)]
    if not known:
        return 0, 0
    usual = sum(known) / len(known)
    done = total = 0.0
    for state in states:
        all_of_it = state.epochs if isinstance(state.epochs, int) else usual
        total += all_of_it
        if state.state == "completed":  # however early it stopped
            done += all_of_it
        elif isinstance(state.epoch, int):
            done += min(state.epoch, all_of_it)
    return done, total


def best(status: Status) -> str:
    """The best value among the runs so far, and whose it is; empty where none has one."""
    name = metric_name(status)
    values = [(value, run) for run, state in status.rows if (value := value_of(state, name)) is not None]
    if not values:
        return ""
    sign = status.manifest.select.sign
    value, run = min(values, key=lambda pair: sign * pair[0])
    several = len({planned.seed for planned, _ in status.rows}) > 1
    return f"best {name} so far {value:.4g} ({run.variant}{f', seed {run.seed}' if several else ''})"
