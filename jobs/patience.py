"""Waiting for a shared file system that refuses to be written for a moment."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 60.0
_PASSES = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN}
)  # a full disk seldom does, and a file that is missing never


def patiently(write: Callable[[], T]) -> T:
    """The value of `write()`, which is called again every second while its error may pass, for a minute."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return write()
        except OSError as error:
            if error.errno not in _PASSES or time.monotonic() > until:
                raise
        time.sleep(1.0)
