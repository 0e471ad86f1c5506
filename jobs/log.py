"""Lines in the log of a run or of its parent."""

from __future__ import annotations

import contextlib
import sys
import time


def say(text: str) -> None:
    """One line with the time, in a single write: several processes may append to one file.

    A line that finds no room on the disk is lost: that alone must end neither a run nor the parent of several.
    """
    with contextlib.suppress(OSError):  # there is no other place to report it
        sys.stdout.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")
        sys.stdout.flush()
