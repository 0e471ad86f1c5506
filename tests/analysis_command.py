"""Runs the command line `analysis` in this process. Used by tests."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from analysis import cli

Ended = tuple[int, str, str]  # exit status, stdout, stderr


def analysis_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """A function that takes the arguments and returns how the command ended."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["analysis", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out = capsys.readouterr()
        return int(ended.value.code or 0), out.out, out.err

    return run
