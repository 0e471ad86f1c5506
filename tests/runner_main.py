"""The command line in this process: arguments in, exit status and texts out."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass
from unittest.mock import patch

from runner.cli import main


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str


def run(*arguments: object) -> Said:
    """What `runner ARGUMENTS` does; an exception that would be a traceback escapes."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with (
        patch.object(sys, "argv", ["runner", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as left:
            status = left.code if isinstance(left.code, int) else int(left.code is not None)
    return Said(status, out.getvalue(), err.getvalue())
