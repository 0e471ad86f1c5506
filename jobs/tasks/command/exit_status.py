"""What the end of a command means."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from typing import Any

from jobs.failure import Kind, RunFailure, kind_of_exception


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
