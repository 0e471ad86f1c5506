"""What the exit status of a child tells its parent."""

from __future__ import annotations

EXIT_FAILED = 1  # failure.json says why
EXIT_STOPPED = 75  # asked to stop, checkpoint written
EXIT_SUPERSEDED = 76  # another process has the run directory now; nothing was written any more
