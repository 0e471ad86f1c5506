"""What strangers, disks and tired people do to files: 2,000 hostile trees and files, 500 ordinary mistakes, by seed.

No traceback, no write outside, nothing executed, no wait longer than five times the healthy tree and 5 s, nothing that
commands a terminal; a message names a file, and of a mistake file, line and, in nine of ten, the right key. The kinds
are listed: the damages in damaged_runs and hostile_content, the mistakes as KINDS in ordinary_mistakes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_ordinary_mistakes import answers_name_what_is_wrong

import damaged_runs
import hostile_submission
import ordinary_mistakes

READ, WRITTEN, DATA, MISTAKES = 1_000, 500, 500, 500
FIRST = 10_000  # seed


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A working directory, a cache and a PATH that the commands may use up."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUNNER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", os.environ["PATH"])
    yield
    os.chdir(tmp_path)


def refuse(found: list[str]) -> None:
    assert not found, f"{len(found)}:\n" + "\n\n".join(found[:10])


@pytest.mark.timeout(7200)
def test_a_thousand_hostile_trees_are_read(tmp_path: Path) -> None:
    whole = damaged_runs.experiment(tmp_path / "whole")
    longest = damaged_runs.limits(whole, tmp_path / "healthy")
    seeds = range(FIRST, FIRST + READ)
    refuse([line for seed in seeds for line in damaged_runs.wrong(whole, tmp_path / str(seed), seed, longest)])


@pytest.mark.timeout(7200)
def test_five_hundred_hostile_trees_are_written_to(tmp_path: Path) -> None:
    hostile_submission.slurm_commands(tmp_path / "bin")
    whole = hostile_submission.experiment(tmp_path / "whole")
    longest = hostile_submission.limits(whole, tmp_path / "healthy")
    seeds = range(FIRST, FIRST + WRITTEN)
    refuse([line for seed in seeds for line in hostile_submission.wrong(whole, tmp_path / str(seed), seed, longest)])


@pytest.mark.torch
@pytest.mark.timeout(7200)
def test_five_hundred_hostile_data_sets_are_read_or_refused(tmp_path: Path) -> None:
    longest = hostile_submission.data_limits(tmp_path / "healthy")
    seeds = range(FIRST, FIRST + DATA)
    refuse([line for seed in seeds for line in hostile_submission.wrong_data(tmp_path / str(seed), seed, longest)])


@pytest.mark.timeout(3600)
def test_five_hundred_ordinary_mistakes_are_answered(tmp_path: Path) -> None:
    mistakes = [ordinary_mistakes.made(number) for number in range(FIRST, FIRST + MISTAKES)]
    assert {file for _, file, _ in mistakes} == set(ordinary_mistakes.right_files())
    assert {kind for kind, _, _ in mistakes} == set(ordinary_mistakes.KINDS)
    assert answers_name_what_is_wrong(mistakes, tmp_path) == MISTAKES


@pytest.mark.timeout(3600)
def test_typo_in_every_key_is_answered_with_the_key(tmp_path: Path) -> None:
    assert answers_name_what_is_wrong(ordinary_mistakes.typos(), tmp_path) > MISTAKES
