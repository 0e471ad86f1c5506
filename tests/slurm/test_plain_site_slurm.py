"""A site as it comes: no accounting, small arrays, preemption without a warning. The same states and results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from test_retries_slurm import losses
from test_runtime_slurm import DISTURBED, assert_undisturbed, failure_of, heartbeat_at, outcomes

from jobs.failure import Kind
from runner.files import read_json_lines
from slurm_cluster import SlurmCluster
from tiny_experiment import wait_until, write_run
from tiny_search import runner, site, stage, states

pytestmark = pytest.mark.slurm

CANCELLING = "PartitionName=cancel Nodes=n[1-4] MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=CANCEL"
TWENTY = {"matrix": {"seeds": list(range(20))}}


@pytest.fixture(scope="module")
def plain_cluster(slurm_cluster: SlurmCluster) -> Iterator[SlurmCluster]:
    """Beside the one of the session, whose installation it shares."""
    cluster = SlurmCluster.start(("--no-accounting", "--max-array-size", "17", "--conf", CANCELLING))
    yield cluster
    cluster.stop()


@pytest.fixture
def plain(plain_cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    monkeypatch.setenv("SLURM_CONF", str(plain_cluster.conf))
    yield plain_cluster
    plain_cluster.clear()


@pytest.mark.parametrize(("runs_per_task", "arrays"), [(1, 2), (2, 1)])
def test_array_larger_than_the_site_allows_gives_the_results_of_the_local_pool(
    plain: SlurmCluster, tmp_path: Path, runs_per_task: int, arrays: int
) -> None:
    config = stage(tmp_path, "one", **TWENTY, array={"runs_per_task": runs_per_task})
    here, there = tmp_path / "here", tmp_path / "there"
    assert runner("submit", config, "--cluster", site(tmp_path), "--wait", root=there).returncode == 0
    sent = [line for line in read_json_lines(there / "one" / "submissions.jsonl") if line["event"] == "sent"]
    assert len(sent) == arrays
    assert runner("submit", config, "--cluster", "local", "--wait", root=here).returncode == 0
    assert states(there, "one") == states(here, "one") == [("completed", None)] * 20
    assert losses(there, "one") == losses(here, "one")


def test_array_of_one_is_known_while_it_is_queued_and_when_it_is_done(plain: SlurmCluster, tmp_path: Path) -> None:
    config = stage(tmp_path, "one", matrix={})
    runner("submit", config, "--cluster", site(tmp_path, "sbatch: {hold: true}\n"), root=tmp_path)
    assert states(tmp_path, "one") == [("queued", None)]
    job = [line["job_id"] for line in read_json_lines(tmp_path / "one" / "submissions.jsonl") if "job_id" in line]
    plain.run("scontrol", "release", *job)
    wait_until(lambda: states(tmp_path, "one") == [("completed", None)], 60, "its end")


def test_failures_have_their_kinds_without_accounting(plain: SlurmCluster, tmp_path: Path) -> None:
    named = {"killed": {"mischief": "kill"}, "exception": {"mischief": "raise"}, "diverged": {"mischief": "nan"}}
    config = stage(tmp_path, "one", matrix={"named": named})
    runner("submit", config, "--cluster", site(tmp_path), "--wait", root=tmp_path)
    assert states(tmp_path, "one") == [("failed", kind) for kind in named]


def test_out_of_memory_is_known_without_accounting(plain: SlurmCluster, tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", mischief="hoard", allocate_mib=850)
    plain.wait_for(plain.submit([[directory]], mem="1000M"), "FAILED", "OUT_OF_MEMORY", "CANCELLED")
    assert failure_of(directory, Kind.OUT_OF_MEMORY, final=False)


@pytest.mark.parametrize(
    ("partition", "deaf"),
    [("preempt", False), ("preempt", True), ("cancel", False)],
    ids=["hears SIGTERM", "dies of SIGKILL", "PreemptMode=CANCEL"],
)
def test_run_preempted_without_warning_goes_on_afterwards(
    plain: SlurmCluster, tmp_path: Path, partition: str, deaf: bool
) -> None:
    directory = write_run(tmp_path / "exp", **DISTURBED, deaf=deaf)
    job = plain.submit([[directory]], partition=partition, additional_parameters={"requeue": True})
    heartbeat_at(directory, 4)
    urgent = write_run(tmp_path / "urgent", train={"epochs": 5, "epoch_seconds": 0.1})
    plain.submit([[urgent]], nodes=4, cpus_per_task=16)
    heartbeat_at(directory, 5, attempt=2)
    plain.wait_for(job, "COMPLETED")
    assert urgent.result.exists()
    assert outcomes(directory)[-1] == ("completed", None)
    assert_undisturbed(directory, tmp_path, plain)


def test_run_killed_by_a_preemption_that_cancels_goes_on_when_it_is_sent_again(
    plain: SlurmCluster, tmp_path: Path
) -> None:
    """PreemptMode=CANCEL ignores --requeue, and a run that is deaf has no time to ask for one."""
    directory = write_run(tmp_path / "exp", **DISTURBED, deaf=True)
    job = plain.submit([[directory]], partition="cancel", additional_parameters={"requeue": True})
    heartbeat_at(directory, 4)
    plain.submit([[write_run(tmp_path / "urgent")]], nodes=4, cpus_per_task=16)
    plain.wait_for(job, "PREEMPTED", "CANCELLED")
    plain.wait_for(plain.submit([[directory]]), "COMPLETED")
    assert outcomes(directory)[-1] == ("completed", None)
    assert_undisturbed(directory, tmp_path, plain)


def test_run_at_its_time_limit_goes_on_without_accounting(plain: SlurmCluster, tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", **DISTURBED)
    job = plain.submit([[directory]], signal_delay_s=60)
    heartbeat_at(directory, 4)
    plain.control("timeout-now", job, "60")
    heartbeat_at(directory, 5, attempt=2)
    plain.wait_for(job, "COMPLETED")
    assert outcomes(directory) == [("stopped", "timeout"), ("completed", None)]
