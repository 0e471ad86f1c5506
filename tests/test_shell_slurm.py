"""What a shell or the surrounding job says to Slurm neither changes nor kills what is sent."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_retries_slurm import GPU_MEMORY, ended
from test_runtime_slurm import DISTURBED, heartbeat_at, outcomes

from jobs.failure import Kind
from runner.rundir.layout import ExperimentDir
from slurm_cluster import SlurmCluster
from tiny_experiment import TESTS, environment, wait_until, write_run
from tiny_search import runner, site, stage, states

pytestmark = pytest.mark.slurm

# Each of these would send runs elsewhere, end them, or hide them
SHELL = {"SBATCH_PARTITION": "preempt", "SBATCH_TIMELIMIT": "1", "SQUEUE_STATES": "COMPLETED", "SQUEUE_PARTITION": "x",
         "SLURM_TIME_FORMAT": "%H:%M", "SCANCEL_PARTITION": "x"}  # fmt: skip
NO_MEMORY = {"cpus": 1, "time": "5m"}


@pytest.fixture(scope="module")
def frugal_cluster(slurm_cluster: SlurmCluster) -> Iterator[SlurmCluster]:
    """A site that gives memory by the core; beside the one of the session, whose installation it shares."""
    cluster = SlurmCluster.start(("--conf", "DefMemPerCPU=700"))
    yield cluster
    cluster.stop()


@pytest.fixture
def frugal(frugal_cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    monkeypatch.setenv("SLURM_CONF", str(frugal_cluster.conf))
    yield frugal_cluster
    frugal_cluster.clear()


@pytest.mark.parametrize(
    "allocation", [["--mem=900M"], ["--mem-per-cpu=900M"], []], ids=["mem", "mem-per-cpu", "plain"]
)
@pytest.mark.parametrize("resources", [NO_MEMORY, {**NO_MEMORY, "memory": "500M"}], ids=["unset", "set"])
def test_runs_sent_from_an_interactive_allocation_complete(
    frugal: SlurmCluster, tmp_path: Path, allocation: list[str], resources: dict[str, object]
) -> None:
    config = stage(tmp_path, "one", resources=resources, matrix={})
    words = ["submit", config, "--cluster", site(tmp_path), "--wait", "--root", tmp_path]
    command = ["salloc", "-n1", *allocation, sys.executable, "-P", "-m", "runner.cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(**SHELL), cwd=TESTS, timeout=120)
    assert done.returncode == 0, done.stderr
    assert states(tmp_path, "one") == [("completed", None)]


def test_runs_that_the_supervisor_sends_complete_where_memory_comes_by_the_core(
    frugal: SlurmCluster, tmp_path: Path
) -> None:
    config = stage(tmp_path, "one", matrix={"named": {"gpu": GPU_MEMORY}}, resources=NO_MEMORY)
    runner("submit", config, "--cluster", site(tmp_path), "--supervise", root=tmp_path)
    wait_until(lambda: ended(tmp_path, "one") == {"gpu": [Kind.GPU_OUT_OF_MEMORY, None]}, 90, "the second attempt")


def test_a_run_at_its_time_limit_goes_on_whatever_the_format_of_times(slurm: SlurmCluster, tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", **DISTURBED)
    job = slurm.submit([[directory]], signal_delay_s=60, env={"SLURM_TIME_FORMAT": "%H:%M", "SQUEUE_STATES": "FAILED"})
    heartbeat_at(directory, 4)
    slurm.control("timeout-now", job, "60")
    heartbeat_at(directory, 5, attempt=2)
    slurm.wait_for(job, "COMPLETED")
    assert outcomes(directory) == [("stopped", "timeout"), ("completed", None)]


def test_the_account_of_the_shell_counts_where_the_file_names_none(slurm: SlurmCluster, tmp_path: Path) -> None:
    slurm.run("sacctmgr", "-i", "add", "account", "physics", "chemistry")
    slurm.run("sacctmgr", "-i", "add", "user", slurm.run("id", "-un").strip(), "account=physics,chemistry")
    config = stage(tmp_path, "one", matrix={})
    more = "sbatch: {hold: true}\n"
    for number, (file, account) in enumerate([("", "chemistry"), ("account: physics\n", "physics")]):
        root = tmp_path / str(number)
        dry = runner("submit", config, "--cluster", site(tmp_path, more + file), "--dry-run", root=root,
                     SBATCH_ACCOUNT="chemistry")  # fmt: skip
        assert ("SBATCH_ACCOUNT=chemistry" in dry.stderr) is (not file)
        sent = runner("submit", config, "--cluster", site(tmp_path, more + file), root=root, SBATCH_ACCOUNT="chemistry")
        assert sent.returncode == 0, sent.stderr
        job = ExperimentDir(root / "one").submission_log.read_text().rpartition('"job_id": "')[2].partition('"')[0]
        assert f"Account={account}" in slurm.run("scontrol", "show", "job", job)
