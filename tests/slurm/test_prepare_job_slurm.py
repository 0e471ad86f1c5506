"""A job before the array computes once what its runs share."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from build_log import builds
from crystal_experiment import command, results, write_config
from runner.files import read_json_lines
from runner.rundir.layout import ExperimentDir
from slurm_cluster import SlurmCluster
from tiny_experiment import wait_until
from tiny_search import runner, runs, site, stage, states

pytestmark = pytest.mark.slurm

PREPARE = "prepare: {time: 5m, memory: 2G, cpus: 2}\n"


def preparing(root: Path, name: str) -> list[str]:
    """Ids of the prepare jobs that were sent."""
    lines = read_json_lines(ExperimentDir(root / name).submission_log)
    return [line["job_id"] for line in lines if line["event"] == "preparing"]


@pytest.mark.torch
def test_cold_cache_is_filled_once_before_the_first_run_starts(slurm: SlurmCluster, tmp_path: Path) -> None:
    cache, config = tmp_path / "cache", write_config(tmp_path, epochs=1)
    where = ("--root", tmp_path, "--cluster", site(tmp_path, PREPARE))
    done = command("runner.cli", "submit", config, *where, "--wait", cache=cache)
    assert done.returncode == 0, done.stderr
    assert len(results(tmp_path)) == 3
    built = builds(cache)
    assert {line["kind"].split()[0] for line in built} >= {"graphs", "embeddings"}, built
    assert set(Counter(line["path"] for line in built).values()) == {1}
    attempts = [read_json_lines(run.attempts)[0] for run in runs(tmp_path, "small").values()]
    assert max(line["time"] for line in built) < min(line["time"] for line in attempts)
    seeds = command("runner.cli", "submit", config, *where, "--set", "matrix.seeds=[0]", cache=cache)
    assert seeds.returncode == 0, seeds.stderr
    assert len(preparing(tmp_path, "small")) == 1


def test_runs_that_were_prepared_before_wait_for_no_second_job(slurm: SlurmCluster, tmp_path: Path) -> None:
    cluster = site(tmp_path, f"prepare: true\ncache: {tmp_path / 'cache'}\n")
    config = stage(tmp_path, "one", params={"mischief": "kill", "first_attempts": 1})
    runner("submit", config, "--cluster", cluster, "--wait", root=tmp_path)
    assert runner("submit", config, "--cluster", cluster, "--wait", root=tmp_path).returncode == 0
    assert len(preparing(tmp_path, "one")) == 1


@pytest.mark.parametrize(
    ("preparation", "why"), [("missing", "failed: "), ("kill", "was ended by SIGKILL")], ids=["missing", "killed"]
)
def test_runs_whose_preparation_failed_say_so_and_are_not_sent_again(
    slurm: SlurmCluster, tmp_path: Path, preparation: str, why: str
) -> None:
    cluster = site(tmp_path, f"prepare: true\ncache: {tmp_path / 'cache'}\n")
    config = stage(tmp_path, "one", params={"preparation": preparation})
    runner("submit", config, "--cluster", cluster, "--wait", root=tmp_path)
    assert states(tmp_path, "one") == [("failed", "data_missing")] * 3
    told = runner("failures", "one", root=tmp_path).stdout
    assert f"its prepare job {preparing(tmp_path, 'one')[0]} {why}" in told
    assert str(ExperimentDir(tmp_path / "one").prepare_log(1)) in told
    again = runner("submit", config, "--cluster", cluster, root=tmp_path)
    assert "nothing to send" in again.stderr


def test_cancelling_everything_ends_the_prepare_job_and_the_supervisor_too(slurm: SlurmCluster, tmp_path: Path) -> None:
    cluster = site(tmp_path, f"prepare: true\ncache: {tmp_path / 'cache'}\nsbatch: {{hold: true}}\n")
    runner("submit", stage(tmp_path, "one"), "--cluster", cluster, "--supervise", root=tmp_path)
    assert len(slurm.run("squeue", "--noheader").splitlines()) == 3
    told = runner("cancel", "one", root=tmp_path)
    assert "3 runs cancelled" in told.stderr
    wait_until(lambda: not slurm.run("squeue", "--noheader"), 30, "an empty queue")
    assert states(tmp_path, "one") == [("cancelled", "cancelled")] * 3


def test_supervisor_goes_on_when_some_runs_are_cancelled(slurm: SlurmCluster, tmp_path: Path) -> None:
    cluster = site(tmp_path, "sbatch: {hold: true}\n")
    runner("submit", stage(tmp_path, "one"), "--cluster", cluster, "--supervise", root=tmp_path)
    runner("cancel", "one", "--only", "epochs=1*", root=tmp_path)
    assert "one-supervisor" in slurm.run("squeue", "--noheader", "--format=%j")
