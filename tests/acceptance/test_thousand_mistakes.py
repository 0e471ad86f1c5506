"""A thousand wrong experiment files: refused with status 2 and the next command; no traceback, no hang, no file."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_bad_configurations import LONGEST_S, no_longer_than

import bad_configurations

WANTED = 1000


@pytest.mark.timeout(3600)
def test_thousand_wrong_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found, seed = 0, 10_000
    while found < WANTED:
        with no_longer_than(LONGEST_S):
            found += bad_configurations.refused(seed, tmp_path) is not None
        seed += 1
    print(f"{found} of {seed - 10_000} files were wrong, and refused")
    assert seed - 10_000 < 2 * WANTED
