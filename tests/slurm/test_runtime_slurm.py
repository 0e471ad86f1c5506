"""Arrays of real runs on a real Slurm, with faults."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from runner.files import read_json, read_json_lines
from runner.rundir.failures import Failure, Kind, read_failure
from runner.rundir.layout import RunDir
from runner.rundir.processes import start_time
from slurm_cluster import SlurmCluster
from tiny_experiment import wait_until, write_run

pytestmark = pytest.mark.slurm

TRAIN = {"seed": 3, "epochs": 10}
# The first attempt stays before epoch 5 until something happens to it.
DISTURBED: dict[str, Any] = {"train": TRAIN, "mischief": "wait", "at_epoch": 5, "first_attempts": 1}


def heartbeat_at(directory: RunDir, epoch: int, attempt: int = 1) -> dict[str, Any]:
    """The heartbeat once `attempt` has recorded `epoch`."""

    def reached() -> Any:
        found = read_json(directory.heartbeat) or {}
        return found if found.get("attempt") == attempt and (found.get("epoch") or 0) >= epoch else None

    heartbeat: dict[str, Any] = wait_until(reached, 60, f"epoch {epoch} of attempt {attempt} of {directory.run_id}")
    return heartbeat


def failure_of(directory: RunDir, kind: Kind, *, final: bool = True) -> Failure:
    """The failure once it is there; `final`: not one that was written in case nobody can write another."""

    def written() -> Failure | None:
        failure = read_failure(directory)
        return failure if failure and not (final and failure.provisional) else None

    failure: Failure = wait_until(written, 60, f"failure.json of {directory.run_id}")
    assert failure.kind is kind, failure
    return failure


def outcomes(directory: RunDir) -> list[tuple[str, str | None]]:
    lines = read_json_lines(directory.attempts)
    return [(line["outcome"], line.get("kind")) for line in lines if "ended" in line]


def assert_undisturbed(directory: RunDir, tmp_path: Path, slurm: SlurmCluster) -> None:
    """The run's result is bit for bit the one of a run that nothing has disturbed."""
    twin = write_run(tmp_path / "twin", train=TRAIN)
    slurm.wait_for(slurm.submit([[twin]]), "COMPLETED")
    assert read_json(directory.result)["metrics"] == read_json(twin.result)["metrics"]
    assert [line["epoch"] for line in read_json_lines(directory.metrics)] == list(range(1, 11))


def test_array_completes_on_several_nodes(slurm: SlurmCluster, tmp_path: Path) -> None:
    tasks = [[write_run(tmp_path / "exp", f"r{i}{j}", train={"epochs": 5, "epoch_seconds": 0.2}) for j in "ab"]
             for i in range(4)]  # fmt: skip
    job = slurm.submit(tasks, cpus_per_task=16)
    slurm.wait_for(job, "COMPLETED")
    runs = [run for task in tasks for run in task]
    assert all(run.result.exists() and not run.claim.exists() for run in runs)
    heartbeats = [read_json(run.heartbeat) for run in runs]
    assert {heartbeat["host"] for heartbeat in heartbeats} == {"n1", "n2", "n3", "n4"}
    assert [heartbeat["job_id"] for heartbeat in heartbeats] == [f"{job}_{i}" for i in range(4) for _ in "ab"]
    assert heartbeats[7]["array_task_id"] == 3


def test_killed_run_is_known_and_hurts_none_beside_it(slurm: SlurmCluster, tmp_path: Path) -> None:
    victim = write_run(tmp_path / "exp", "victim", **DISTURBED)
    beside = write_run(tmp_path / "exp", "beside", train={"epochs": 20, "epoch_seconds": 0.1})
    job = slurm.submit([[victim, beside]])
    os.kill(heartbeat_at(victim, 4)["pid"], signal.SIGKILL)
    slurm.wait_for(job, "FAILED")
    failure_of(victim, Kind.KILLED)
    assert beside.result.exists()


def test_run_of_a_killed_parent_is_taken_over_by_the_next(slurm: SlurmCluster, tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", **DISTURBED)
    job = slurm.submit([[directory]])
    heartbeat = heartbeat_at(directory, 4)
    os.kill(heartbeat["parent_pid"], signal.SIGKILL)
    slurm.wait_for(job, "FAILED")
    wait_until(lambda: start_time(heartbeat["pid"]) is None, 20, "end of the orphan")
    slurm.wait_for(slurm.submit([[directory]]), "COMPLETED")
    assert read_json(directory.result)["attempts"] == 2
    assert_undisturbed(directory, tmp_path, slurm)


def test_scancel_leaves_a_checkpoint_and_the_kind(slurm: SlurmCluster, tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", **DISTURBED)
    job = slurm.submit([[directory]])
    heartbeat_at(directory, 4)
    slurm.run("scancel", job)
    failure = failure_of(directory, Kind.CANCELLED)
    assert failure.job_id == job
    assert read_json(directory.last_checkpoint)["epoch"] == 4
    assert slurm.wait_for(job, "CANCELLED") == "CANCELLED"
    assert not directory.claim.exists()


def test_run_whose_memory_slurm_ends_with_its_parent_is_out_of_memory(slurm: SlurmCluster, tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", mischief="hoard", allocate_mib=850)
    job = slurm.submit([[directory]], mem="1000M")
    slurm.wait_for(job, "FAILED", "OUT_OF_MEMORY", "CANCELLED")
    failure = read_failure(directory)
    assert failure is not None
    assert failure.kind is Kind.OUT_OF_MEMORY
    assert "of 1000 MiB allowed" in failure.message


def test_run_of_a_crashed_node_goes_on_elsewhere(slurm: SlurmCluster, tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", **DISTURBED)
    job = slurm.submit([[directory]], additional_parameters={"requeue": True})
    node = heartbeat_at(directory, 4)["host"]
    slurm.control("node-crash", node)
    slurm.run("scontrol", "update", f"nodename={node}", "state=down", "reason=crashed")
    heartbeat = heartbeat_at(directory, 5, attempt=2)
    assert heartbeat["host"] != node
    slurm.wait_for(job, "COMPLETED")
    assert outcomes(directory) == [("lost", "node_failure"), ("completed", None)]
    assert_undisturbed(directory, tmp_path, slurm)


def test_run_of_a_crashed_node_goes_on_there_when_the_node_returns(slurm: SlurmCluster, tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", **DISTURBED)
    job = slurm.submit([[directory]], additional_parameters={"requeue": True, "nodelist": "n4"})
    heartbeat_at(directory, 4)
    slurm.control("node-crash", "n4")
    slurm.run("scontrol", "update", "nodename=n4", "state=down", "reason=crashed")
    slurm.control("node-start", "n4")
    assert heartbeat_at(directory, 5, attempt=2)["host"] == "n4"
    slurm.wait_for(job, "COMPLETED")
    assert outcomes(directory) == [("lost", "node_failure"), ("completed", None)]
    assert_undisturbed(directory, tmp_path, slurm)


def test_requeue_that_starts_before_the_old_process_died_leaves_the_run_to_it(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    """A node that Slurm has lost sight of: its processes live on, and the job starts again elsewhere."""
    slow = {"train": {"seed": 3, "epochs": 10, "epoch_seconds": 3.0}}
    directory = write_run(tmp_path / "exp", **slow)
    job = slurm.submit([[directory]], additional_parameters={"requeue": True})
    first = heartbeat_at(directory, 1)
    slurm.control("node-kill", first["host"])
    slurm.run("scontrol", "update", f"nodename={first['host']}", "state=down", "reason=silent")
    log = directory.experiment.submission(1) / f"{job}_0_log.out"
    left = f"left to process {first['parent_pid']} on {first['host']}"
    wait_until(lambda: left in log.read_text(), 60, "the second start")
    assert not directory.result.exists()  # the first one is still at work
    wait_until(directory.result.exists, 60, "the end of the first")
    assert [line["attempt"] for line in read_json_lines(directory.attempts) if "ended" not in line] == [1]
    assert read_json(directory.heartbeat)["pid"] == first["pid"]
    slurm.control("node-start", first["host"])
    assert_undisturbed(directory, tmp_path, slurm)


def test_preempted_run_checkpoints_and_goes_on_afterwards(slurm: SlurmCluster, tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", **DISTURBED)
    job = slurm.submit([[directory]], partition="preempt")
    heartbeat_at(directory, 4)
    urgent = write_run(tmp_path / "urgent", train={"epochs": 10, "epoch_seconds": 0.1})
    urgent_job = slurm.submit([[urgent]], nodes=4, cpus_per_task=16)
    heartbeat_at(directory, 5, attempt=2)
    assert slurm.state_of(urgent_job) == "COMPLETED"
    slurm.wait_for(job, "COMPLETED")
    assert outcomes(directory) == [("stopped", "preempted"), ("completed", None)]
    assert_undisturbed(directory, tmp_path, slurm)


def test_requeue_from_outside_counts_as_preemption(slurm: SlurmCluster, tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", **DISTURBED)
    job = slurm.submit([[directory]])
    heartbeat_at(directory, 4)
    slurm.run("scontrol", "requeue", job)
    heartbeat_at(directory, 5, attempt=2)
    slurm.wait_for(job, "COMPLETED")
    assert outcomes(directory) == [("stopped", "preempted"), ("completed", None)]


def test_run_at_its_time_limit_checkpoints_and_is_requeued(slurm: SlurmCluster, tmp_path: Path) -> None:
    stopping = write_run(tmp_path / "exp", "stopping", **DISTURBED)
    done = write_run(tmp_path / "exp", "done")
    tasks = [[done], [stopping]]
    job = slurm.submit(tasks, signal_delay_s=60)
    heartbeat_at(stopping, 4)
    slurm.control("timeout-now", f"{job}_1", "60")
    heartbeat_at(stopping, 5, attempt=2)
    slurm.wait_for(job, "COMPLETED")
    assert outcomes(stopping) == [("stopped", "timeout"), ("completed", None)]
    log = (stopping.experiment.submission(1) / f"{job}_1_0_log.out").read_text()
    assert "Slurm says JobState=RUNNING" in log  # it was asked about this array task and not about its neighbour
    assert outcomes(done) == [("completed", None)]
    assert_undisturbed(stopping, tmp_path, slurm)
