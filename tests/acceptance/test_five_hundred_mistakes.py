"""Five hundred ordinary mistakes, and a typo in every key of every shipped file: each answer names place and key."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_ordinary_mistakes import answers_name_what_is_wrong

import ordinary_mistakes

WANTED = 500


@pytest.mark.timeout(3600)
def test_five_hundred_ordinary_mistakes_are_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    numbers = range(10_000, 10_000 + WANTED)
    assert answers_name_what_is_wrong(map(ordinary_mistakes.made, numbers), tmp_path) == WANTED


@pytest.mark.timeout(3600)
def test_typo_in_every_key_is_answered_with_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert answers_name_what_is_wrong(ordinary_mistakes.typos(), tmp_path) > WANTED
