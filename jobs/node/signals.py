"""Signals as events of a loop: they are read in order between two steps, never in the middle of one."""

from __future__ import annotations

import os
import select
import signal
from types import TracebackType
from typing import Any

# What Slurm, a terminal or a person may send; SIGCHLD wakes the loop when a child ends.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


class Signals:
    """While this context is open, signals are collected instead of acted on. For the main thread.

    It replaces the handlers that submitit has set, and puts back what it found.
    """

    def __enter__(self) -> Signals:
        self._read, self._write = os.pipe()
        for descriptor in (self._read, self._write):
            os.set_blocking(descriptor, False)
        self._wakeup = signal.set_wakeup_fd(self._write)
        self._before: dict[int, Any] = {  # Python writes the number to the wakeup descriptor itself
            number: signal.signal(number, lambda number, frame: None) for number in (*STOP_SIGNALS, signal.SIGCHLD)
        }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._read)
        os.close(self._write)

    def wait(self, seconds: float) -> list[signal.Signals]:
        """The stop signals that came, at once when there are any or a child ended, else after `seconds`."""
        ready, _, _ = select.select([self._read], [], [], max(0.0, seconds))
        numbers = os.read(self._read, 4096) if ready else b""
        return [signal.Signals(number) for number in numbers if number in STOP_SIGNALS]
