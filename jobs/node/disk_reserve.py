"""A few kilobytes that a running attempt holds on the disk, given back for its last words when the disk is full.

A run that fails because nothing can be written any more could not write failure.json either; it would look as if it had
vanished, and be sent again, into the same full disk.
"""

from __future__ import annotations

import errno
import os

from runner.files import replacing
from runner.rundir.layout import RunDir

SIZE = 64 << 10  # bytes; failure.json with its traceback, the last heartbeat, a line in attempts.jsonl and in the log
_FULL = (errno.ENOSPC, errno.EDQUOT)


def hold(directory: RunDir) -> None:
    """Take the room; raises OSError where there is none: then the run should not begin."""
    with replacing(directory.reserve) as beside:
        beside.write_bytes(os.urandom(SIZE))  # which no file system stores in less


def give_back(directory: RunDir) -> None:
    """Make room; nothing happens where none is held."""
    directory.reserve.unlink(missing_ok=True)


def is_full_disk(error: BaseException | None) -> bool:
    """Whether `error`, or what it followed from, is that of a full disk or of an exhausted quota."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return False
