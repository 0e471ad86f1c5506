"""The command as a process: its output is passed on line by line, and its last lines are kept."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

_KEPT_LINES = 40
_END_S = 5.0  # for the rest of the output, once the command has ended: what it left running may hold the pipe


class Command:
    """A started command. It stays in our process group, so that the parent can end all of it."""

    def __init__(self, words: Sequence[str], directory: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            words, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", bufsize=1,
        )  # fmt: skip
        self.heard = time.monotonic()  # when it last said something
        self.last: deque[str] = deque(maxlen=_KEPT_LINES)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._read, name="output", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> int | None:
        """Its exit status (negative for a signal), None when it still runs after `seconds`."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def lines(self) -> list[str]:
        """What it has said since the last call; after its end, all the rest."""
        if self._process.poll() is not None:
            self._thread.join(_END_S)
        return [self._lines.get() for _ in range(self._lines.qsize())]

    def send(self, number: signal.Signals) -> None:
        """Nothing where it has ended."""
        self._process.send_signal(number)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            self.heard = time.monotonic()
            self.last.append(line.rstrip("\n"))
            self._lines.put(line)
