"""The command as a process: its output is passed on line by line, its last lines are kept, its end is judged."""

from __future__ import annotations

import contextlib
import io
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs.failure import Kind, RunFailure, kind_of_exception

_KEPT_LINES = 100
_BAR_S = 30.0  # between two lines of a progress bar in the log
_END_S = 5.0  # for the rest of the output, once the command has ended: what it left running may hold the pipe


class Command:
    """A started command. It stays in our process group, so that the parent can end all of it."""

    def __init__(self, words: Sequence[str], directory: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            words, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
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

    def last_words(self) -> str:
        """Its last lines; from the last traceback on, where it printed one."""
        lines = list(self.last)
        starts = [at for at, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
        return "\n".join(lines[starts[-1] :] if starts else lines)

    def send(self, number: signal.Signals) -> None:
        """Nothing where it has ended."""
        self._process.send_signal(number)

    def _read(self) -> None:
        """Of a progress bar, which rewrites its line by a carriage return, the log gets a line now and then."""
        assert self._process.stdout is not None
        shown, rewritten = float("-inf"), False  # when a bar was last shown; whether the line before was one
        for line in io.TextIOWrapper(self._process.stdout, "utf-8", "replace", newline=""):
            self.heard = time.monotonic()
            text = line.rstrip("\r\n")
            bar = line.endswith("\r")
            if bar and not text:
                continue
            if not bar or self.heard - shown > _BAR_S:
                shown = self.heard if bar else shown
                with contextlib.suppress(OSError):  # a full disk must not stop the reader, on which the command waits
                    sys.stdout.write(f"{text}\n")
                    sys.stdout.flush()
            if rewritten:
                self.last.pop()
            self.last.append(text)
            rewritten = bar
            self._lines.put(f"{text}\n")


def failure_of(status: int, last: Sequence[str], codes: Mapping[Any, int | list[int]]) -> RunFailure:
    """The failure that an exit status (negative for a signal) stands for; `last`: the last lines of the output.

    codes: kind of failure → exit statuses, as the configuration gives them. Other statuses are an exception, unless
    the last words are those of a machine or a GPU that ran out of memory.
    """
    last_line = next((line.strip() for line in reversed(last) if line.strip()), "it said nothing")
    what = f"the command ended with {status_text(status)}; its last line: {last_line}"
    for kind, listed in codes.items():
        if status in ([listed] if isinstance(listed, int) else listed):
            return RunFailure(kind, what)
    text = "\n".join(last)
    guess = kind_of_exception(RuntimeError(text))
    return RunFailure(Kind.OUT_OF_MEMORY if guess is Kind.EXCEPTION and "MemoryError" in text else guess, what)


def status_text(status: int | None) -> str:
    """`exit status 3`, or the name of a signal."""
    if status is None:
        return "no end"
    return f"exit status {status}" if status >= 0 else signal.Signals(-status).name
