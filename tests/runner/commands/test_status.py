"""`runner status`: what it shows of files alone."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.commands.status import lines, take
from runner.config.experiment_file import load
from runner.files import write_json
from runner.matrix.expansion import expand
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir
from runner_main import run
from tiny_task import TinyTask

LONG = "a reason that needs more than one line of a narrow terminal to be told " * 4


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentDir:
    """Twelve runs: one of each state, the others new."""
    monkeypatch.setenv("RUNNER_ROOT", str(tmp_path / "runs"))
    (tmp_path / "e.yaml").write_text(
        "experiment: e\ntask: tiny_task:TinyTask\nselect: {metric: val_loss}\n"
        "matrix: {axes: {at_epoch: [1, 2, 3], train.epochs: [3, 4]}, seeds: [0, 1]}\n"
    )
    found = ExperimentDir(tmp_path / "runs" / "e")
    expansion = expand(load(tmp_path / "e.yaml"), TinyTask.Params, "train.seed")
    manifest.write(found, expansion, "tiny_task:TinyTask")
    ids = [run.run_id for run in expansion.runs]
    beat = {"time": time.time(), "interval": 30, "epochs": 4, "metric": "val_loss", "host": "n", "machine": "other"}
    write_json(found.run(ids[0]).result, {"metrics": {"val_loss": 0.123456}})
    write_json(found.run(ids[0]).heartbeat, {**beat, "ended": True, "epoch": 4, "value": 0.5, "attempt": 1})
    write_json(found.run(ids[1]).heartbeat, {**beat, "epoch": 2, "value": 2.5e-5, "attempt": 2, "job_id": "12_1"})
    write_json(found.run(ids[2]).failure, {"kind": "exception", "message": f"{LONG}\nsecond line"})
    write_json(found.run(ids[3]).failure, {"kind": "exception", "message": "alike"})
    write_json(found.run(ids[4]).failure, {"kind": "exception", "message": "alike"})
    write_json(found.run(ids[5]).cancelled, {})
    write_json(found.run(ids[6]).heartbeat, {**beat, "time": time.time() - 4000, "epoch": 1, "attempt": 1})
    return found


def shown(monkeypatch: pytest.MonkeyPatch, width: int) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    said = run("status")
    assert said.status == 0, said.err
    return [line.rstrip() for line in said.out.splitlines()]


@pytest.mark.usefixtures("directory")
def test_narrow_table_shows_state_progress_and_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, 80)
    assert max(map(len, lines)) <= 80
    assert lines[0] == "e: 12 runs: 1 completed, 1 running, 3 failed, 1 cancelled, 1 lost, 5 new"
    assert lines[1].split() == ["#", "variant", "seed", "state", "try", "epoch", "val_loss", "age"]
    assert lines[2].split()[:7] == ["1", "at_epoch=1", "epochs=3", "0", "completed", "4/4", "0.1235"]
    assert lines[3].split()[:8] == ["2", "at_epoch=1", "epochs=3", "1", "running", "2", "2/4", "2.50e-05"]
    assert "failed (exception)" in lines[4]


@pytest.mark.usefixtures("directory")
def test_wide_table_shows_jobs_and_run_ids_too(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, 140)
    assert lines[1].split()[-2:] == ["job", "run"]
    assert "12_1  at-epoch-1-epochs-3-s1-" in lines[3]


@pytest.mark.usefixtures("directory")
def test_reasons_stand_below_the_table_alike_ones_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(shown(monkeypatch, 80))
    assert ":4, :5 failed: alike" in text
    assert "second line" not in text
    assert ":7 lost: its process is gone and left no word" in text
    assert "why in full: runner failures e" in text


@pytest.mark.usefixtures("directory")
def test_json_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    found: dict[str, Any] = json.loads(run("status", "e", "--format", "json").out)
    assert found["counts"] == {"completed": 1, "running": 1, "failed": 3, "cancelled": 1, "lost": 1, "new": 5}
    first, second, third = found["runs"][:3]
    assert (first["state"], first["metric"], first["value"]) == ("completed", "val_loss", 0.123456)
    assert (second["attempt"], second["epoch"], second["epochs"], second["value"]) == (2, 2, 4, 2.5e-5)
    assert (third["kind"], third["message"]) == ("exception", f"{LONG}\nsecond line")


def test_of_very_many_runs_those_that_are_not_completed_come_first(
    directory: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.loads(directory.manifest.read_text())
    done = content["runs"][0]
    content["runs"] = [done] * 100 + content["runs"]
    write_json(directory.manifest, content)
    lines = shown(monkeypatch, 80)
    assert "running" in lines[2]
    assert "… and 52 more; --format json lists all" in lines


def test_runs_that_the_file_no_longer_has_are_named_while_they_run(
    directory: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.submission(1).mkdir(parents=True)
    write_json(directory.pool_tasks(1), {"tasks": [["gone-s0-01234567"]]})
    manifest.log_submission(directory, {"submission": 1, "event": "begun", "kind": "local"})
    pool = {"machine": "other", "pid": 77, "time": time.time(), "pending": ["gone-s0-01234567"], "running": []}
    write_json(directory.pool_state(1), pool)
    text = " ".join(shown(monkeypatch, 80))
    assert "gone from the experiment file, and still queued or running: gone-s0-01234567" in text


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({"event": "supervision_failed", "message": "one is not complete"}, "could not go on: one is not complete"),
        ({"event": "supervised", "submission": 1, "job_id": "9"}, "supervised by job 9"),
        ({"event": "supervised", "submission": 1, "job_id": "10"}, "its supervisor, job 10, is gone without a word"),
        ({"event": "supervision_ended"}, None),
    ],
)
def test_who_looks_after_the_experiment_is_told_and_why_nobody_does(
    directory: ExperimentDir, event: dict[str, Any], told: str | None
) -> None:
    manifest.log_submission(directory, {"event": "supervised", "submission": 1, "job_id": "8"})
    manifest.log_submission(directory, event)
    taken = take(directory)
    below = list(lines(replace(taken, queue=replace(taken.queue, jobs=frozenset({"9"})))))
    assert [line for line in below if "supervis" in line] == [line for line in below if told and told in line]
    assert any("supervis" in line for line in below) is (told is not None)
