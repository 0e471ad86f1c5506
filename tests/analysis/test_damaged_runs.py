"""Whatever became of the files of an experiment: an answer, never a traceback, a hang, or a write outside the root."""

from __future__ import annotations

from pathlib import Path

import pytest

from damaged_runs import answer, damaged, experiment, questions, wrong

SEEDS = range(3, 16)  # the last with a report; a thousand in tests/acceptance


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return experiment(tmp_path_factory.mktemp("whole"))


def test_readers_say_a_sentence_about_damaged_runs(whole: Path, tmp_path: Path) -> None:
    found = [line for seed in SEEDS for line in wrong(whole, tmp_path / str(seed), seed)]
    assert not found, "\n\n".join(found[:5])


def test_the_undamaged_experiment_is_read_by_every_command(whole: Path, tmp_path: Path) -> None:
    copy = damaged(whole, tmp_path / "copy", 0, damages=0)
    answers = {arguments[:1]: answer(program, *arguments) for program, arguments in questions(copy.path, 0)}
    assert {status for status, _, _ in answers.values()} == {0}


def test_damage_is_the_same_for_the_same_seed(whole: Path, tmp_path: Path) -> None:
    assert damaged(whole, tmp_path / "a", 7).done == damaged(whole, tmp_path / "b", 7).done


def test_results_are_not_written_where_a_link_leads_out(whole: Path, tmp_path: Path) -> None:
    copy = damaged(whole, tmp_path / "copy", 0, damages=0)
    (copy.path / "analysis").symlink_to(copy.outside)
    status, _, err = answer("analysis", "summarize", copy.path, "--no-report")
    assert status == 1
    assert "by a link: nothing is written there" in err
    assert [file.name for file in copy.outside.iterdir()] == ["file.json"]


def test_a_linked_experiment_is_written_to(whole: Path, tmp_path: Path) -> None:
    copy = damaged(whole, tmp_path / "copy", 0, damages=0)
    (tmp_path / "link").symlink_to(copy.path)
    assert answer("analysis", "summarize", tmp_path / "link", "--no-report")[0] == 0
    assert (copy.path / "analysis" / "results_summary.csv").is_file()
