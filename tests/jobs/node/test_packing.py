"""Runs of one array task, side by side and in turn, under a real parent and a real pool: what each sees and when."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from jobs.node.slots import Slot, own_cores, slots
from runner.files import read_json, write_json
from runner.rundir.failures import Kind, read_failure
from runner.rundir.layout import ExperimentDir, RunDir
from runner.rundir.states import run_state
from runner.submit.schedulers import local
from tiny_experiment import environment, parent_command, wait_until, write_run

TWO_CORES = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
FOUR_GPUS = {"CUDA_VISIBLE_DEVICES": "0,GPU-5,MIG-7,3"}


def many(root: Path, count: int, config: dict[str, Any] | None = None, **params: Any) -> list[RunDir]:
    return [write_run(root, f"r{i}", config=config, **params) for i in range(count)]


def work(runs: list[RunDir], *words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """A parent with `words` of its command line works through `runs`."""
    command = [*parent_command(*runs), *words]
    return subprocess.run(command, env=environment(**changes), capture_output=True, text=True, timeout=90)


def seen(run: RunDir) -> dict[str, Any]:
    """What the run saw of its machine."""
    value: dict[str, Any] = read_json(run.path / "seen.json")
    return value


def span(run: RunDir) -> tuple[float, float]:
    """Between which moments the run was at work."""
    return seen(run)["began"], run.result.stat().st_mtime


def most_at_once(runs: list[RunDir]) -> int:
    spans = [span(run) for run in runs]
    return max(sum(begin <= moment < end for begin, end in spans) for moment, _ in spans)


@pytest.mark.parametrize(("gpus", "expected"), [(1, ["0", "GPU-5", "MIG-7", "3"]), (2, ["0,GPU-5", "MIG-7,3"])])
def test_each_run_sees_its_own_gpus(tmp_path: Path, gpus: int, expected: list[str]) -> None:
    runs = many(tmp_path / "exp", len(expected), {"gpus": gpus})
    assert work(runs, **FOUR_GPUS).returncode == 0
    assert [seen(run)["gpus"] for run in runs] == expected


def test_too_few_gpus_are_shared_evenly() -> None:
    places = slots(4, {})
    assert [place.environment({"CUDA_VISIBLE_DEVICES": "4,7"}, 1)["CUDA_VISIBLE_DEVICES"] for place in places] == [
        "4", "7", "4", "7",
    ]  # fmt: skip
    assert places[0].environment({"CUDA_VISIBLE_DEVICES": ""}, 1) == {}
    assert places[0].environment(FOUR_GPUS, 0) == {}
    assert Slot().environment(FOUR_GPUS, 1) == {}  # alone: as the site has set it


@TWO_CORES
def test_each_run_has_cores_of_its_own(tmp_path: Path) -> None:
    runs = many(tmp_path / "exp", 2)
    assert work(runs).returncode == 0
    first, second = (set(seen(run)["cores"]) for run in runs)
    assert first
    assert second
    assert not first & second


def test_cores_that_belong_to_other_jobs_too_are_not_dealt_out() -> None:
    all_cores = sorted(os.sched_getaffinity(0))
    assert sorted(own_cores({})) == all_cores
    assert own_cores({"SLURM_JOB_ID": "1", "SLURM_CPUS_ON_NODE": str(len(all_cores) - 1)}) == []
    assert sorted(own_cores({"SLURM_JOB_ID": "1", "SLURM_CPUS_ON_NODE": str(len(all_cores))})) == all_cores
    assert Slot(0, len(all_cores) + 1, all_cores).cores == []  # too few: each run uses all


def test_in_turn_no_more_than_the_slots_run_at_once_and_a_dead_run_frees_its_slot(tmp_path: Path) -> None:
    runs = many(tmp_path / "exp", 4, {"gpus": 1}, train={"epochs": 2, "epoch_seconds": 0.2})
    runs.insert(1, write_run(tmp_path / "exp", "dies", config={"gpus": 1}, mischief="kill"))
    done = work(runs, "--side-by-side", "2", "--in-turn", CUDA_VISIBLE_DEVICES="4,5")
    assert done.returncode == 1
    failure = read_failure(runs.pop(1))
    assert failure is not None
    assert failure.kind is Kind.KILLED
    assert all(run.result.exists() for run in runs)
    assert most_at_once(runs) <= 2
    assert {seen(run)["gpus"] for run in runs} == {"4", "5"}


def test_a_run_ends_at_its_own_time_and_the_next_one_starts(tmp_path: Path) -> None:
    hangs = write_run(tmp_path / "exp", "hangs", config={"time": 1}, mischief="wait", at_epoch=2)
    follows = write_run(tmp_path / "exp", "follows")
    done = work([hangs, follows], "--side-by-side", "1", "--in-turn")
    failure = read_failure(hangs)
    assert failure is not None
    assert (failure.kind, done.returncode) == (Kind.TIMEOUT, 1)
    assert "wrote its checkpoint and left" in failure.message
    assert follows.result.exists()


def test_a_run_that_ignores_the_end_of_its_time_is_killed(tmp_path: Path) -> None:
    deaf = write_run(tmp_path / "exp", "deaf", config={"time": 1}, mischief="wait", deaf=True)
    work([deaf], "--in-turn", RUNNER_GRACE_S="1")
    failure = read_failure(deaf)
    assert failure is not None
    assert failure.kind is Kind.TIMEOUT
    assert "killed" in failure.message


def test_a_run_for_which_the_time_left_is_too_short_goes_back_unpunished(tmp_path: Path) -> None:
    runs = many(tmp_path / "exp", 3, {"time": 100})
    job = {"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": f"{time.time() + 90:.0f}", "PATH": "/nonexistent"}
    done = work(runs, "--side-by-side", "2", "--in-turn", **job)
    assert done.returncode == 0
    assert [run.result.exists() for run in runs] == [True, True, False]  # the first of each slot start in any case
    state = run_state(runs[2])
    assert (state.state, state.kind, state.attempt) == ("failed", "preempted", 0)
    assert "not started: its array task has" in str(state.message)
    assert not runs[2].claim.exists()
    assert not runs[2].attempts.exists()


def test_what_waits_for_its_turn_is_cancelled_with_its_array_task(tmp_path: Path) -> None:
    runs = many(tmp_path / "exp", 3, train={"epochs": 1000, "epoch_seconds": 0.05})
    parent = subprocess.Popen([*parent_command(*runs), "--side-by-side", "1", "--in-turn"], env=environment())
    wait_until(runs[0].metrics.exists, what="the first run")
    write_json(runs[1].cancelled, {})
    parent.terminate()
    assert parent.wait(timeout=60) == 1
    assert [run_state(run).state for run in runs] == ["cancelled"] * 3
    assert not runs[2].attempts.exists()


def test_a_pool_gives_its_parents_what_it_deals_out_to_their_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNNER_HEARTBEAT_S", "0.5")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    experiment = ExperimentDir(tmp_path / "exp")
    runs = many(experiment.path, 6, {"gpus": 1}, train={"epochs": 2, "epoch_seconds": 0.3})
    tasks = [[run.run_id for run in runs[:3]], [run.run_id for run in runs[3:]]]
    write_json(experiment.pool_tasks(1), {"tasks": tasks, "side_by_side": 2, "in_turn": 2, "gpus": 2})
    pid = int(local.start(experiment, 1, 2, {}))
    os.waitpid(pid, 0)
    assert all(run.result.exists() for run in runs)
    assert {seen(run)["gpus"] for run in runs[:2]} | {seen(run)["gpus"] for run in runs[3:5]} == {"0", "1", "2", "3"}
    assert most_at_once(runs) <= 4


@pytest.mark.parametrize(("keep", "left"), [("all", [True, True]), ("best", [False, True]), ("none", [False, False])])
def test_a_completed_run_keeps_the_checkpoints_that_it_was_asked_to(
    tmp_path: Path, keep: str, left: list[bool]
) -> None:
    run = write_run(tmp_path / "exp", config={"keep": {"checkpoints": keep}, "time": 60, "memory": 500})
    assert work([run]).returncode == 0
    assert [run.last_checkpoint.exists(), run.best_checkpoint.exists()] == left
    cost = (read_json(run.result) or {})["cost"]
    assert (cost["asked_memory_mib"], cost["asked_seconds"]) == (500, 60)
    assert 10 < cost["memory_mib"] < 500
