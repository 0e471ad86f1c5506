"""The command line `analysis` with a cache of encoders and graphs for each module of tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analysis_command import Ended, analysis_command


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def analysis(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cache: Path) -> Callable[..., Ended]:
    monkeypatch.setenv("RUNNER_CACHE", str(cache))
    return analysis_command(monkeypatch, capsys)
