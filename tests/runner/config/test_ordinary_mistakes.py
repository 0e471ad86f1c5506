"""Some of the five hundred ordinary mistakes of `make acceptance`: each gets an answer that names it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

import ordinary_mistakes
from ordinary_mistakes import KINDS, Mistake

KEYS_NAMED = 0.9  # share of the answers


def answers_name_what_is_wrong(mistakes: Iterable[tuple[str, str, Mistake]], folder: Path) -> int:
    """How many there were; AssertionError for an answer that lacks the file or line, or for too few right keys."""
    missed, count = [], 0
    for kind, file, mistake in mistakes:
        count += 1
        said = ordinary_mistakes.answer(mistake, folder)
        faults = ordinary_mistakes.faults(mistake, said)
        assert not faults, f"{kind} in {file}: {', '.join(faults)}:\n{said.err}"
        if not ordinary_mistakes.names_the_key(mistake, said):
            missed.append(f"{kind} in {file}: {mistake.key}")
    assert len(missed) <= (1 - KEYS_NAMED) * count, "\n".join(missed)
    print(f"{count} mistakes; the right key named in {count - len(missed)}")
    return count


def test_there_are_kinds_enough() -> None:
    assert len(KINDS) >= 40


@pytest.mark.parametrize("part", range(4))
def test_ordinary_mistake_is_answered_with_its_place_and_key(
    part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    numbers = range(len(KINDS) * part, len(KINDS) * (part + 1))[part % 6 :: 6]  # every sixth kind
    answers_name_what_is_wrong(map(ordinary_mistakes.made, numbers), tmp_path)


@pytest.mark.parametrize("name", ordinary_mistakes.COMMAND)
def test_command_files_are_right_before_they_are_spoilt(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = ordinary_mistakes.answer(Mistake(ordinary_mistakes.COMMAND[name], ""), tmp_path)
    assert said.status == 0, said.err
