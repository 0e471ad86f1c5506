"""Two runs in one array task, sent with `runner submit`: each has its own log, result, failure and end."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.files import read_json
from runner.rundir.failures import Kind, read_failure
from runner.rundir.layout import RunDir
from slurm_cluster import SlurmCluster
from tiny_experiment import wait_until
from tiny_search import runner, runs, site, stage, states

SHARED = {"array": {"runs_per_task": 2}}


@pytest.fixture(params=["local", pytest.param("slurm", marks=pytest.mark.slurm)])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> str | Path:
    if request.param == "local":
        return "local"
    slurm: SlurmCluster = request.getfixturevalue("slurm")
    assert slurm.conf.exists()
    return site(tmp_path)


def epoch_of(run: RunDir) -> int:
    return (read_json(run.heartbeat) or {}).get("epoch") or 0


def test_run_that_dies_hurts_none_of_its_task(tmp_path: Path, cluster: str | Path) -> None:
    named = {"a": {}, "dies": {"mischief": "kill"}, "b": {"train.epochs": 4}, "c": {"mischief": "raise"}}
    config = stage(tmp_path, "one", matrix={"named": named}, **SHARED)
    sent = runner("submit", config, "--cluster", cluster, "--wait", root=tmp_path)
    assert "sent 4 runs in 2 array tasks" in sent.stderr
    found = runs(tmp_path, "one")
    assert states(tmp_path, "one") == [
        ("completed", None), ("failed", "killed"), ("completed", None), ("failed", "exception"),
    ]  # fmt: skip
    assert {name for name, run in found.items() if run.result.exists()} == {"a", "b"}
    assert {name for name, run in found.items() if run.failure.exists()} == {"dies", "c"}
    for run in found.values():
        others = [other for other in found.values() if other is not run]
        log = run.log(1).read_text()
        assert f"{run.run_id}: attempt 1" in log
        assert not any(other.run_id in log for other in others)


def test_cancelled_run_is_stopped_by_its_parent_and_its_neighbour_goes_on(tmp_path: Path, cluster: str | Path) -> None:
    waits = {"mischief": "wait", "at_epoch": 2}
    neighbour = {"train.epochs": 30, "train.epoch_seconds": 0.4}
    config = stage(tmp_path, "one", matrix={"named": {"unwanted": waits, "neighbour": neighbour}}, **SHARED)
    runner("submit", config, "--cluster", cluster, root=tmp_path)
    unwanted, other = (runs(tmp_path, "one")[name] for name in ("unwanted", "neighbour"))
    wait_until(lambda: epoch_of(unwanted) and epoch_of(other), 60, "both runs")
    told = runner("cancel", "one", "--only", "unwanted*", root=tmp_path)
    assert "1 run cancelled" in told.stderr
    wait_until(lambda: not unwanted.claim.exists(), 30, "the end of the cancelled run")
    failure = read_failure(unwanted)
    assert failure is not None
    assert failure.kind is Kind.CANCELLED
    assert "wrote its checkpoint and left" in failure.message
    wait_until(other.result.exists, 60, "the neighbour's result")
    assert states(tmp_path, "one") == [("cancelled", "cancelled"), ("completed", None)]
