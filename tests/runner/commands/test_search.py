"""Searches that go on round by round: with --wait, with a supervisor, and disturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.files import read_json, read_json_lines
from runner.rundir.layout import ExperimentDir
from slurm_cluster import SlurmCluster
from tiny_experiment import TESTS, environment, wait_until
from tiny_search import rows, runner, site, stage

SEARCH = {"rungs": {"key": "train.epochs", "values": [1, 2], "keep": "1/3"}, "seeds": "racing"}


def search(folder: Path, name: str = "one", **changes: Any) -> Path:
    """Four points at one epoch with one seed, of which two go on to two epochs and two seeds."""
    matrix = {"axes": {"checkpoint_kib": [0, 1, 2, 3]}, "seeds": [0, 1]}
    keys = {"matrix": matrix, "search": SEARCH, "select": {"metric": "val_loss", "within": 0}}
    return stage(folder, name, **{**keys, **changes})


def ledger(root: Path, name: str = "one") -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(ExperimentDir(root / name).search.glob("*.json"))}


def starts(root: Path, name: str = "one") -> list[int]:
    """How often each run that was started at all has been."""
    logs = ExperimentDir(root / name).runs.glob("*/attempts.jsonl")
    return [sum("ended" not in line for line in read_json_lines(log)) for log in logs]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("undisturbed")
    done = runner("submit", search(root), "--wait", root=root)
    assert done.returncode == 0, done.stderr
    return root


def test_expand_shows_the_first_round_and_what_the_search_may_cost(tmp_path: Path) -> None:
    shown = runner("expand", search(tmp_path), root=tmp_path).stdout
    assert "search: round 1 of 2 (epochs=1, 1 seed): 4 points" in shown
    assert "search: round 2 of 2 (epochs=2, 2 seeds): 2 points, 3 at most" in shown
    assert "expected cost 75% of every point with all seeds and the full budget, 100% at most" in shown
    assert "checkpoint-kib-3-epochs-1-s0" in shown
    assert "checkpoint-kib-3-s0" not in shown


def test_wait_sends_round_after_round_and_drops_who_left(undisturbed: Path) -> None:
    states = [(row["variant"], row["state"]) for row in rows(undisturbed, "one")]
    assert [state for variant, state in states if "epochs=1" in variant] == ["completed"] * 4
    assert [variant for variant, state in states if state == "dropped"] == ["checkpoint_kib=3"] * 2
    assert starts(undisturbed) == [1] * 10
    shown = runner("status", "one", root=undisturbed).stdout
    assert "search: all 2 rounds are decided; best first: checkpoint_kib=0" in shown
    assert "left in round 1: checkpoint_kib=3 (val_loss 0.7558, the last one kept has 0.7558" in shown


def test_deleted_page_is_made_again_equal_and_nothing_is_run_again(undisturbed: Path) -> None:
    pages = ledger(undisturbed)
    assert list(pages) == ["0001.json", "0002.json"]
    ExperimentDir(undisturbed / "one").search_page(1).unlink()
    ExperimentDir(undisturbed / "one").search_page(2).write_text("{damaged")
    again = runner("submit", undisturbed / "one.yaml", "--wait", root=undisturbed)
    assert again.returncode == 0, again.stderr
    assert "search: all rounds are decided" in again.stderr
    assert ledger(undisturbed) == pages
    assert starts(undisturbed) == [1] * 10


def test_other_matrix_is_refused_while_the_ledger_stands(undisturbed: Path, tmp_path: Path) -> None:
    before = ledger(undisturbed)
    other = search(tmp_path, params={"at_epoch": 2})
    refused = runner("submit", other, root=undisturbed)
    assert refused.returncode == 2
    assert "the matrix or the search has changed since round 1 was decided" in refused.stderr
    assert ledger(undisturbed) == before


def test_summary_ranks_what_reached_the_last_rung_and_says_the_cost(undisturbed: Path) -> None:
    command = [sys.executable, "-P", "-m", "analysis.cli", "summarize", str(undisturbed / "one")]
    short, shown = (
        subprocess.run([*command, *options], capture_output=True, text=True, env=environment()).stdout
        for options in ((), ("--all",))
    )
    assert "4 variants, 8 runs (6 completed, 2 dropped)" in short
    assert "1 of 4 variants left the search early" in short
    assert "cost of the rounds that are decided: 100% of every point with 2 seeds and the full budget" in shown
    assert "Not completed" not in shown
    assert "not in the manifest" not in shown


def test_killed_run_and_killed_waiter_leave_the_same_ledger(undisturbed: Path, tmp_path: Path) -> None:
    config = search(tmp_path)
    command = [sys.executable, "-P", "-m", "runner.cli", "submit", str(config), "--wait", "--root", str(tmp_path)]
    waiter = subprocess.Popen(command, env=environment(), cwd=TESTS, stderr=subprocess.DEVNULL)
    runs = ExperimentDir(tmp_path / "one").runs

    def beating() -> int | None:
        beats = [read_json(path) or {} for path in runs.glob("*/heartbeat.json")]
        return next((beat["pid"] for beat in beats if beat.get("pid") and not beat.get("ended")), None)

    os.kill(wait_until(beating, 30, "a run"), signal.SIGKILL)
    waiter.kill()
    waiter.wait()
    again = runner("submit", config, "--wait", root=tmp_path)
    assert again.returncode == 0, again.stderr
    assert ledger(tmp_path) == ledger(undisturbed)
    assert sorted(starts(tmp_path)) == [1] * 9 + [2]


def test_rounds_in_packed_array_tasks_leave_the_same_ledger(undisturbed: Path, tmp_path: Path) -> None:
    done = runner("submit", search(tmp_path, array={"side_by_side": 2, "in_turn": 2}), "--wait", root=tmp_path)
    assert done.returncode == 0, done.stderr
    assert ledger(tmp_path) == ledger(undisturbed)
    assert starts(tmp_path) == [1] * 10


def test_point_whose_run_fails_for_good_leaves_and_the_others_go_on(tmp_path: Path) -> None:
    matrix = {"named": {"good": {}, "bad": {"mischief": "raise"}}, "seeds": [0, 1]}
    done = runner("submit", search(tmp_path, matrix=matrix), "--wait", root=tmp_path)
    assert done.returncode == 0, done.stderr
    page = read_json(ExperimentDir(tmp_path / "one").search_page(1))
    assert page["kept"] == ["good"]
    assert page["dropped"]["bad"]["reason"] == "1 of 1 runs have no result"


def test_cancelled_run_holds_the_round(tmp_path: Path) -> None:
    config = search(tmp_path, params={"train": {"epoch_seconds": 20}})
    runner("submit", config, root=tmp_path)
    assert "cancelled" in runner("cancel", "one", root=tmp_path).stderr
    again = runner("submit", config, root=tmp_path)
    assert "cancelled; not sent again by itself" in again.stderr
    assert ledger(tmp_path) == {}


def test_supervisor_carries_a_search_to_its_summary(undisturbed: Path, tmp_path: Path) -> None:
    sent = runner("submit", search(tmp_path), "--supervise", root=tmp_path)
    assert sent.returncode == 0, sent.stderr
    wait_until((tmp_path / "one" / "analysis" / "results_summary.csv").exists, 90, "the summary")
    assert ledger(tmp_path) == ledger(undisturbed)


@pytest.mark.slurm
def test_slurm_carries_a_search_to_the_same_ledger(slurm: SlurmCluster, undisturbed: Path, tmp_path: Path) -> None:
    sent = runner("submit", search(tmp_path), "--cluster", site(tmp_path), "--supervise", root=tmp_path)
    assert sent.returncode == 0, sent.stderr
    wait_until((tmp_path / "one" / "analysis" / "results_summary.csv").exists, 150, "the summary")
    assert ledger(tmp_path) == ledger(undisturbed)
    assert starts(tmp_path) == [1] * 10
