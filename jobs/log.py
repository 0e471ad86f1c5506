"""Lines in the log of a run or of its parent."""

from __future__ import annotations

import sys
import time


def say(text: str) -> None:
    """One line with the time, in a single write: several processes may append to one file."""
    sys.stdout.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")
    sys.stdout.flush()
