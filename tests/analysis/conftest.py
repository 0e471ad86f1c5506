"""The command line `analysis`, run in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analysis_command import Ended, analysis_command


@pytest.fixture
def analysis(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    return analysis_command(monkeypatch, capsys)


@pytest.fixture
def printed(analysis: Callable[..., Ended]) -> Callable[..., str]:
    """What a command prints that succeeds."""

    def run(*arguments: object) -> str:
        status, out, err = analysis(*arguments)
        assert status == 0, err
        return out

    return run


@pytest.fixture
def refused(analysis: Callable[..., Ended]) -> Callable[..., str]:
    """What a command says that ends with `status`."""

    def run(status: int, *arguments: object) -> str:
        ended, _, err = analysis(*arguments)
        assert ended == status, err
        assert "Traceback" not in err
        return err

    return run
