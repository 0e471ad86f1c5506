"""`python -m jobs.node.submitted FOLDER`: what Slurm starts for each array task.

submitit reads the callable of a task from a pickle, and opening a pickle runs what it holds. So it is opened only where
the account that runs wrote it, and nobody else may have changed it since.
"""

from __future__ import annotations

import os
import pickle
import stat
from pathlib import Path
from typing import Any

from submitit.core import submission, utils

OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def load_own(filename: str | Path) -> Any:
    """What the pickle `filename` holds; leaves with a line for the log, and status 1, where it may be of others."""
    try:
        descriptor = os.open(filename, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SystemExit(f"{filename} is not opened: {error.strerror}") from None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)  # of what is read, whatever takes the name meanwhile
        if not stat.S_ISREG(status.st_mode):
            raise SystemExit(f"{filename} is not opened: no regular file")
        if status.st_uid != os.geteuid():
            raise SystemExit(
                f"{filename} is not opened: it belongs to user {status.st_uid}, this is user {os.geteuid()}"
            )
        if status.st_mode & OTHERS_MAY_WRITE:
            raise SystemExit(
                f"{filename} is not opened: others may write to it (mode {stat.S_IMODE(status.st_mode):03o})"
            )
        return pickle.load(file)


if __name__ == "__main__":
    utils.pickle_load = load_own
    submission.submitit_main()
