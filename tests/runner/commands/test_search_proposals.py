"""Searches whose points are proposed from their results: a command task on the local pool, also disturbed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runner import extras
from runner.files import read_json_lines
from runner.rundir.layout import ExperimentDir
from runner_main import run
from tiny_experiment import TESTS, environment, wait_until
from tiny_search import rows, runner, stage

OPTUNA = "OPTUNA: no search proposed a point; pip install optuna"
SCRIPT = """
import json, sys
rate, kind, rank, epochs, seed, out = sys.argv[1:]
loss = abs(float(rate) - 0.3) + (int(rank) / 32 if kind == "a" else 0.5) + 1 / int(epochs) + 0.001 * int(seed)
json.dump({"val_loss": loss}, open(out + "/metrics.json", "w"))
"""
AXES = {
    "values.rate": {"uniform": [0, 1]},
    "values.kind": {"choice": ["a", "b"]},
    "values.rank": {"integer": [1, 32], "when": {"values.kind": "a"}},
}
SEARCH = {
    "rungs": {"key": "values.epochs", "values": [1, 2], "keep": "1/3"},
    "seeds": "racing",
    "propose": {"count": 6, "at_once": 2},
}
PAGES = ["0001.json", "0002.json", "0003.json", "0004.json"]


def search(folder: Path, **changes: Any) -> Path:
    """Six points at one epoch with one seed, of which two are drawn; two go on to two epochs and two seeds."""
    (folder / "loss.py").write_text(SCRIPT)
    words = "{python} {config_dir}/loss.py {rate} {kind} {rank} {epochs} {seed} {out}"
    command = {"run": words.split(), "metrics": {"file": "metrics.json", "follow": "val_loss"}}
    content = {
        "task": "command",
        "params": {"command": command, "values": {"epochs": 2, "rank": 0}},
        "matrix": {"random": {"axes": AXES}, "seeds": [0, 1]},
        "search": SEARCH,
        "select": {"within": 0},
        "array": {"in_turn": 4},
    }
    return stage(folder, "one", **{**content, **changes})


def ledger(root: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(ExperimentDir(root / "one").search.glob("*.json"))}


def starts(root: Path) -> list[int]:
    logs = ExperimentDir(root / "one").runs.glob("*/attempts.jsonl")
    return [sum("ended" not in line for line in read_json_lines(log)) for log in logs]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("optuna", reason=OPTUNA)
    root = tmp_path_factory.mktemp("undisturbed")
    done = runner("submit", search(root), "--wait", root=root)
    assert done.returncode == 0, done.stderr
    return root


def test_points_join_round_after_round_and_the_best_go_on(undisturbed: Path) -> None:
    pages = [json.loads(text) for text in ledger(undisturbed).values()]
    assert [len(page["seen"]) for page in pages] == [2, 4, 6, 2]
    assert [len(page["proposed"]) for page in pages] == [2, 2, 0, 0]
    assert pages[0]["versions"].keys() == {"optuna", "numpy"}
    for point in [point for page in pages for point in page["proposed"].values()]:
        assert ("values.rank" in point) == (point["values.kind"] == "a")
    assert pages[3]["kept"][0] == min(pages[2]["seen"], key=lambda point: pages[2]["seen"][point])
    assert starts(undisturbed) == [1] * 10
    states = [row["state"] for row in rows(undisturbed, "one")]
    assert (states.count("completed"), states.count("dropped")) == (10, 8)


def test_expand_shows_the_proposed_points_and_what_is_to_come(undisturbed: Path, tmp_path: Path) -> None:
    shown = runner("expand", undisturbed / "one.yaml", root=tmp_path).stdout
    assert "search: round 2 of 4 (epochs=1, 1 seed): 4 points" in shown
    assert "search: round 4 of 4 (epochs=2, 2 seeds): 2 points, 3 at most" in shown
    assert "4 points will be proposed; the numbers of runs and hours below lack them" in shown
    assert "6 runs (4 variants in all rounds)" in shown
    later = runner("expand", undisturbed / "one.yaml", root=undisturbed).stdout
    assert "will be proposed" not in later
    assert "18 runs (12 variants in all rounds): 8 new, 10 unchanged" in later


@pytest.mark.parametrize("damage", [["0001.json"], ["0002.json"], PAGES], ids=["first", "second", "all"])
def test_deleted_pages_are_made_again_equal_and_nothing_is_run_again(undisturbed: Path, damage: list[str]) -> None:
    pages = ledger(undisturbed)
    assert list(pages) == PAGES
    for name in damage:
        (ExperimentDir(undisturbed / "one").search / name).unlink()
    again = runner("submit", undisturbed / "one.yaml", root=undisturbed)
    assert again.returncode == 0, again.stderr
    assert "search: all rounds are decided" in again.stderr
    assert "the file no longer has" not in again.stderr
    assert ledger(undisturbed) == pages
    assert starts(undisturbed) == [1] * 10


def test_changed_axis_is_refused_while_the_ledger_stands(undisturbed: Path, tmp_path: Path) -> None:
    wider = {**AXES, "values.rank": {**AXES["values.rank"], "integer": [1, 33]}}
    text = (undisturbed / "one.yaml").read_text()
    other = search(undisturbed, matrix={"random": {"axes": wider}, "seeds": [0, 1]})
    refused = runner("submit", other, root=undisturbed)
    other.write_text(text)
    assert refused.returncode == 2
    assert "the matrix or the search has changed since round 1 was decided" in refused.stderr


def test_waiter_killed_between_rounds_leaves_the_same_ledger(undisturbed: Path, tmp_path: Path) -> None:
    config = search(tmp_path)
    command = [sys.executable, "-P", "-m", "runner.cli", "submit", str(config), "--wait", "--root", str(tmp_path)]
    waiter = subprocess.Popen(command, env=environment(), cwd=TESTS, stderr=subprocess.DEVNULL)
    wait_until(ExperimentDir(tmp_path / "one").search_page(1).exists, 60, "the first page")
    waiter.kill()
    waiter.wait()
    again = runner("submit", config, "--wait", root=tmp_path)
    assert again.returncode == 0, again.stderr
    assert ledger(tmp_path) == ledger(undisturbed)
    assert sum(starts(tmp_path)) in (10, 11)  # a run that had just been sent may be sent again


def test_two_supervisors_leave_the_same_ledger(undisturbed: Path, tmp_path: Path) -> None:
    sent = runner("submit", search(tmp_path), "--supervise", root=tmp_path)
    assert sent.returncode == 0, sent.stderr
    other = runner("supervise", str(tmp_path / "one"), root=tmp_path)
    assert other.returncode == 0, other.stderr
    wait_until((tmp_path / "one" / "analysis" / "results_summary.csv").exists, 90, "the summary")
    assert ledger(tmp_path) == ledger(undisturbed)
    assert starts(tmp_path) == [1] * 10


def test_missing_optuna_is_one_clear_error_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "optuna" else object())
    ended = run("submit", search(tmp_path), "--root", tmp_path)
    assert ended.status == 1
    assert "this needs optuna, which array-runner installs only on request" in ended.err
    assert "next: pip install 'array-runner[search]'" in ended.err
    assert not (tmp_path / "one").exists()
    assert run("expand", tmp_path / "one.yaml", "--root", tmp_path).status == 0


@pytest.mark.parametrize("seeds", ["all", "racing"])
def test_proposals_without_rungs_and_for_a_class_of_the_user(tmp_path: Path, seeds: str) -> None:
    pytest.importorskip("optuna", reason=OPTUNA)
    random = {"axes": {"checkpoint_kib": {"integer": [0, 9]}}}
    keys = {"seeds": seeds, "propose": {"count": 3, "at_once": 2}}
    config = stage(tmp_path, "one", matrix={"random": random, "seeds": [0, 1]}, params={"train": {"epochs": 1}},
                   search=keys, array={"in_turn": 4})  # fmt: skip
    done = runner("submit", config, "--wait", root=tmp_path)
    assert done.returncode == 0, done.stderr
    pages = [json.loads(text) for text in ledger(tmp_path).values()]
    assert [len(page["seen"]) for page in pages] == ([2, 3] if seeds == "all" else [2, 3, 3])
    assert len(set(pages[-1]["seen"])) == 3
    assert starts(tmp_path) == [1] * 6
