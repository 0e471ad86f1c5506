"""The state of a run follows from its files, and `runner` and `analysis` say the same."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from analysis.collect import collect
from experiment_factory import NOW, Plan, PlannedVariant, write_experiment
from runner.layout import ExperimentDir, RunDir
from runner.processes import machine, start_time
from runner.queue import Place
from runner.states import run_state


def run_with(path: Path, **files: object) -> RunDir:
    path.mkdir()
    for name, content in files.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    return RunDir(path)


def test_a_run_without_a_directory_is_new_or_queued(tmp_path: Path) -> None:
    absent = RunDir(tmp_path / "absent")
    assert run_state(absent).state == "new"
    assert run_state(absent, Place(False, "12_3", 1)).state == "queued"


def test_a_killed_process_cannot_say_that_it_ended(tmp_path: Path) -> None:
    beat = {"attempt": 1, "time": NOW, "host": "another"}
    run = run_with(tmp_path / "run", heartbeat=beat, failure={"kind": "killed", "attempt": 1})
    assert run_state(run, now=NOW + 1).state == "failed"
    run.failure.write_text(json.dumps({"kind": "killed", "attempt": 1, "provisional": True}))
    assert run_state(run, now=NOW + 1).state == "running"
    run.heartbeat.write_text(json.dumps({**beat, "attempt": 2}))
    assert run_state(run, now=NOW + 1).state == "running"


def test_a_process_that_is_gone_from_this_host_is_no_life(tmp_path: Path) -> None:
    me = {"machine": machine(), "pid": os.getpid(), "start_time": start_time(os.getpid())}
    beat = {"attempt": 1, "time": NOW, **me}
    run = run_with(tmp_path / "run", heartbeat=beat)
    assert run_state(run, now=NOW + 1).state == "running"
    run.heartbeat.write_text(json.dumps({**beat, "pid": 2**22 + 1}))  # above the largest that Linux gives
    assert run_state(run, now=NOW + 1).state == "lost"


@pytest.mark.parametrize("content", ["", "[1]", '{"time": "noon", "interval": null, "attempt": "x"', "\x00"])
@pytest.mark.parametrize(("name", "state"), [("heartbeat", "lost"), ("failure", "failed"), ("result", "new")])
def test_damaged_files_say_little(tmp_path: Path, name: str, state: str, content: str) -> None:
    (tmp_path / f"{name}.json").write_text(content)
    assert run_state(RunDir(tmp_path), now=NOW).state == state


def test_a_heartbeat_without_a_time_is_no_sign_of_life(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", heartbeat={"time": "noon", "interval": None, "attempt": "x"})
    assert run_state(run, now=NOW).state == "lost"


def test_runner_and_analysis_say_the_same(tmp_path: Path) -> None:
    states = ("completed", "running", "failed", "lost", "new")
    path = write_experiment(tmp_path, Plan([PlannedVariant(s, states={0: s}) for s in states], seeds=[0]))
    cancelled = run_with(ExperimentDir(path).runs / "cancelled", cancelled={})
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["runs"].append({**manifest["runs"][0], "run_id": cancelled.run_id})
    (path / "manifest.json").write_text(json.dumps(manifest))
    found = {run.run_id: run.state for run in collect(path, now=NOW).runs}
    assert list(found.values()) == [*states, "cancelled"]
    assert found == {run_id: run_state(ExperimentDir(path).run(run_id), now=NOW).state for run_id in found}
