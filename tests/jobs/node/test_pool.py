"""The local pool with real processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from jobs.node.pool import Pool
from jobs.node.slots import visible_gpus
from runner.errors import CommandFailed
from runner.files import read_json, write_json
from runner.rundir.failures import Kind, read_failure
from runner.rundir.layout import ExperimentDir
from runner.rundir.processes import start_time
from runner.submit.schedulers import local
from tiny_experiment import wait_until, write_run

ENDLESS = {"epochs": 1000, "epoch_seconds": 0.05}


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentDir:
    monkeypatch.setenv("RUNNER_HEARTBEAT_S", "0.5")
    return ExperimentDir(tmp_path / "exp")


def write_tasks(experiment: ExperimentDir, tasks: list[list[str]]) -> None:
    write_json(experiment.pool_tasks(1), {"tasks": tasks})


def start_pool(experiment: ExperimentDir, max_parallel: int = 1) -> int:
    return int(local.start(experiment, 1, max_parallel, {}))


def state(experiment: ExperimentDir) -> dict[str, Any]:
    return read_json(experiment.pool_state(1)) or {}


def wait_for_end(pid: int) -> None:
    """The pool is our child here: take note of its end."""
    wait_until(lambda: start_time(pid) is None, what="end of the pool")
    os.waitpid(pid, 0)


def test_pool_completes_every_task(experiment: ExperimentDir) -> None:
    names = [f"r{i}" for i in range(5)]
    for name in names:
        write_run(experiment.path, name)
    write_tasks(experiment, [names[:2], names[2:3], names[3:]])
    wait_for_end(start_pool(experiment, 2))
    assert all(experiment.run(name).result.exists() for name in names)
    assert (state(experiment)["pending"], state(experiment)["running"], state(experiment)["ended"]) == ([], [], True)
    assert "r4: completed" in experiment.pool_log(1).read_text()


def test_pool_runs_no_more_than_it_may_and_stops_on_sigterm(experiment: ExperimentDir) -> None:
    for name in ("a", "b", "c"):
        write_run(experiment.path, name, train=ENDLESS)
    write_tasks(experiment, [["a"], ["b"], ["c"]])
    pid = start_pool(experiment, 2)
    wait_until(lambda: experiment.run("a").metrics.exists() and experiment.run("b").metrics.exists(), what="two runs")
    assert (state(experiment)["running"], state(experiment)["pending"]) == (["a", "b"], ["c"])
    assert state(experiment)["pid"] == pid
    assert local.report(experiment, 1) is not None
    os.kill(pid, signal.SIGTERM)
    wait_for_end(pid)
    assert local.report(experiment, 1) is None
    for name in ("a", "b"):
        failure = read_failure(experiment.run(name))
        assert failure is not None
        assert (failure.kind, failure.job_id) == (Kind.CANCELLED, "local-1")
        assert experiment.run(name).last_checkpoint.exists()
    assert not experiment.run("c").attempts.exists()
    assert (state(experiment)["running"], state(experiment)["pending"]) == ([], [])


def test_run_cancelled_while_it_waits_is_skipped(experiment: ExperimentDir) -> None:
    write_run(experiment.path, "first", train={"epochs": 5, "epoch_seconds": 0.1})
    write_run(experiment.path, "second")
    write_run(experiment.path, "third")
    write_tasks(experiment, [["first"], ["second"], ["third"]])
    pid = start_pool(experiment)
    wait_until(experiment.run("first").metrics.exists, what="first run")
    write_json(experiment.run("second").cancelled, {})
    wait_for_end(pid)
    assert not experiment.run("second").attempts.exists()
    assert experiment.run("third").result.exists()


def test_failing_run_does_not_stop_the_others(experiment: ExperimentDir) -> None:
    write_run(experiment.path, "bad", mischief="kill")
    write_run(experiment.path, "good")
    write_tasks(experiment, [["absent"], ["bad"], ["good"]])
    wait_for_end(start_pool(experiment))
    assert read_failure(experiment.run("bad")) is not None
    assert experiment.run("good").result.exists()


def test_second_pool_of_a_submission_leaves(experiment: ExperimentDir) -> None:
    write_run(experiment.path, "a", train=ENDLESS)
    write_tasks(experiment, [["a"]])
    first = start_pool(experiment)
    wait_until(lambda: state(experiment).get("running") == ["a"], what="first pool")
    with pytest.raises(CommandFailed, match="did not start"):
        start_pool(experiment)
    assert "submission 1 has a pool already" in experiment.pool_log(1).read_text()
    assert state(experiment)["pid"] == first
    os.kill(first, signal.SIGTERM)
    wait_for_end(first)


def test_runs_outlive_a_killed_pool(experiment: ExperimentDir) -> None:
    write_run(experiment.path, "a", train={"epochs": 10, "epoch_seconds": 0.1})
    write_run(experiment.path, "b")
    write_tasks(experiment, [["a"], ["b"]])
    pid = start_pool(experiment)
    wait_until(experiment.run("a").metrics.exists, what="first run")
    os.kill(pid, signal.SIGKILL)
    wait_for_end(pid)
    assert local.report(experiment, 1) is None
    wait_until(experiment.run("a").result.exists, what="end of the run")
    assert not experiment.run("b").attempts.exists()


def test_gpus_are_dealt_to_the_least_loaded_first(experiment: ExperimentDir) -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "2,GPU-5"}) == ["2", "GPU-5"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}) == []
    for i in range(4):
        write_run(experiment.path, f"r{i}", config={"gpus": 1})
    tasks = [[f"r{i}"] for i in range(4)]
    write_tasks(experiment, tasks)
    pool = Pool(experiment, 1, max_parallel=4, pending=tasks, gpus=["2", "5"], gpus_of_task=1)
    assert pool._fill()
    assert [parent.gpus for parent in pool.running] == [["2"], ["5"], ["2"], ["5"]]
    for parent in pool.running:
        parent.process.wait(timeout=30)
    environment = read_json(experiment.run("r1").private)["environment"]
    assert environment["CUDA_VISIBLE_DEVICES"] == "5"
