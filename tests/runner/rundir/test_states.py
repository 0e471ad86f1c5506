"""The state of a run follows from its files, and `runner` and `analysis` say the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from analysis.collect.collection import collect
from experiment_factory import NOW, Plan, PlannedVariant, write_experiment
from jobs.launch import module_command
from runner.commands.status import take
from runner.files import write_json
from runner.rundir.layout import ExperimentDir, RunDir
from runner.rundir.processes import Heartbeat, machine, start_time
from runner.rundir.states import QueueEntry, run_state
from runner.submit import survey
from runner.submit.scheduler_snapshot import Queue
from tiny_experiment import environment, wait_until, write_run


def run_with(path: Path, **files: object) -> RunDir:
    path.mkdir()
    for name, content in files.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    return RunDir(path)


def test_a_run_without_a_directory_is_new_or_queued(tmp_path: Path) -> None:
    absent = RunDir(tmp_path / "absent")
    assert run_state(absent).state == "new"
    assert run_state(absent, QueueEntry(False, "12_3", 1)).state == "queued"


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
    all_states = ("completed", "running", "failed", "lost", "new")
    path = write_experiment(tmp_path, Plan([PlannedVariant(s, states={0: s}) for s in all_states], seeds=[0]))
    cancelled = run_with(ExperimentDir(path).runs / "cancelled", cancelled={})
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["runs"].append({**manifest["runs"][0], "run_id": cancelled.run_id})
    (path / "manifest.json").write_text(json.dumps(manifest))
    found = {run.run_id: run.state for run in collect(path, now=NOW).runs}
    assert list(found.values()) == [*all_states, "cancelled"]
    assert found == {run_id: run_state(ExperimentDir(path).run(run_id), now=NOW).state for run_id in found}


def test_a_run_that_ends_while_the_queue_is_asked_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = ExperimentDir(tmp_path)
    write_json(directory.run("r").attempts, {"attempt": 1})

    def ends(*_: object) -> Queue:
        write_json(directory.run("r").result, {"metrics": {}})
        return Queue()

    monkeypatch.setattr(survey, "look", ends)
    assert survey.survey(directory, ["r"])[0]["r"].state == "completed"


def test_attempts_that_died_before_their_first_heartbeat_count(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", failure={"kind": "killed", "attempt": 3})
    assert run_state(run).attempt == 3
    run.attempts.write_text("".join(f'{{"attempt": {n}}}\n{{"attempt": {n}, "ended": 1}}\n' for n in range(1, 5)))
    assert run_state(run).attempt == 4


def test_the_first_state_that_holds_counts(tmp_path: Path) -> None:
    beat = {"attempt": 2, "time": NOW, "host": "another"}
    signs = {"result": {"metrics": {}}, "heartbeat": beat, "failure": {"kind": "timeout", "attempt": 1}}
    run = run_with(tmp_path / "run", cancelled={}, **signs)
    run.config.touch()
    waiting = QueueEntry(False, "12_3", 1, "Priority")

    def state(place: QueueEntry | None = None) -> str:
        return run_state(run, place, NOW + 1).state

    assert state(waiting) == "completed"
    run.result.unlink()
    assert state(waiting) == "running"
    run.heartbeat.write_text(json.dumps({**beat, "ended": True}))
    assert state(waiting) == "queued"
    assert state() == "failed"
    run.failure.unlink()
    assert state() == "cancelled"
    run.cancelled.unlink()
    assert state() == "lost"
    run.heartbeat.unlink()
    assert state() == "lost"
    run.config.unlink()
    assert state() == "new"


@pytest.mark.parametrize(
    ("final", "since", "state"), [(True, NOW - 5, "failed"), (True, NOW + 5, "queued"), (False, NOW - 5, "queued")]
)
def test_a_failure_counts_at_once_only_where_no_requeue_can_follow_it(
    tmp_path: Path, final: bool, since: float, state: str
) -> None:
    beat = {"attempt": 1, "time": NOW, "ended": True}
    run = run_with(tmp_path / "run", heartbeat=beat, failure={"kind": "timeout", "attempt": 1, "time": NOW})
    assert run_state(run, QueueEntry(True, "12_3", 1, final=final, since=since), NOW + 1).state == state


def test_progress_is_told_beside_the_state(tmp_path: Path) -> None:
    beat = {"attempt": 2, "time": NOW, "host": "another", "epoch": 3, "epochs": 9, "metric": "val_mae", "value": 0.5}
    found = run_state(run_with(tmp_path / "run", heartbeat={**beat, "job_id": "12_3"}), now=NOW + 7)
    assert (found.attempt, found.epoch, found.epochs, found.metric, found.value) == (2, 3, 9, "val_mae", 0.5)
    assert (found.age, found.job) == (7.0, "12_3")


def test_a_killed_run_is_lost_in_the_summary_too(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, Plan([PlannedVariant("a", states={0: "running"})], seeds=[0]))
    (run,) = ExperimentDir(path).runs.iterdir()
    dead = {"machine": machine(), "pid": 2**22 + 1, "start_time": "1"}
    write_json(run / "heartbeat.json", {"attempt": 1, "time": NOW, **dead})
    assert collect(path, now=NOW + 1).runs[0].state == run_state(RunDir(run), now=NOW + 1).state == "lost"


def test_a_run_killed_with_its_parent_is_lost_at_once_in_status_and_in_the_summary(tmp_path: Path) -> None:
    run = write_run(tmp_path / "exp", train={"epochs": 1000, "epoch_seconds": 0.05})
    manifest = {"experiment": "exp", "task": "tiny_task:TinyTask", "runs": [{"run_id": run.run_id, "seed": 0}]}
    write_json(run.experiment.manifest, {**manifest, "select": {"metric": "val_loss"}})
    command = module_command("jobs.node.parent", str(run.path))
    parent = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
    child = wait_until(lambda: (beat := Heartbeat.read(run.heartbeat)) and beat.epoch and beat.pid, what="an epoch")
    assert run_state(run).state == "running"
    for pid in (parent.pid, child):
        os.kill(pid, signal.SIGKILL)
    parent.wait()
    wait_until(lambda: start_time(child) is None, 5.0, "the end of the child")
    (row,) = take(run.experiment).rows
    (collected,) = collect(run.experiment.path, cache=False).runs
    assert (row[1].state, row[1].kind, collected.state) == ("lost", "node_failure", "lost")
