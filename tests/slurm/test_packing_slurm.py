"""Several runs in one array task of a real Slurm: side by side each with its own devices and cores, and in turn."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.files import read_json, read_json_lines
from runner.rundir.layout import ExperimentDir, RunDir
from slurm_cluster import SlurmCluster
from tiny_experiment import wait_until
from tiny_search import runner, site, stage, states

pytestmark = pytest.mark.slurm


def packed(folder: Path, count: int, array: dict[str, Any], gpus: int = 1, **params: Any) -> Path:
    """`count` runs that look around, of one experiment."""
    asked = {"cpus": 1, "gpus": gpus, "time": "5m", "memory": "200M"}
    changes = {"params": params, "matrix": {"seeds": list(range(count))}, "resources": asked, "array": array}
    return stage(folder, "one", **changes)


def sent(config: Path, folder: Path, more: str = "") -> str:
    return runner("submit", config, "--cluster", site(folder, more), "--wait", root=folder).stderr


def seen(folder: Path, what: str) -> list[Any]:
    """What each run saw, by its seed."""
    directory = ExperimentDir(folder / "one")
    found = sorted(directory.runs.iterdir(), key=lambda path: int(str(read_json(path / "result.json")["seed"])))
    return [read_json(path / "seen.json")[what] for path in found]


@pytest.mark.parametrize(
    ("count", "gpus", "array", "expected"),
    [
        (4, 1, {"side_by_side": 4}, ["0", "1", "2", "3"]),
        (2, 2, {"side_by_side": 2}, ["0,1", "2,3"]),
        (4, 1, {"side_by_side": 4, "share_gpu": True}, ["0", "0", "0", "0"]),
    ],
    ids=["four devices", "two each", "one shared"],
)
def test_runs_side_by_side_see_their_own_devices(
    slurm: SlurmCluster, tmp_path: Path, count: int, gpus: int, array: dict[str, Any], expected: list[str]
) -> None:
    assert f"sent {count} runs in 1 array task" in sent(packed(tmp_path, count, array, gpus), tmp_path)
    assert seen(tmp_path, "gpus") == expected


def test_gres_of_the_site_are_dealt_out_too(slurm: SlurmCluster, tmp_path: Path) -> None:
    sent(packed(tmp_path, 2, {"side_by_side": 2}), tmp_path, "gpus_option: gres\n")
    assert seen(tmp_path, "gpus") == ["0", "1"]


@pytest.fixture
def binding_slurm(slurm_cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    """A site that binds jobs to cores; its nodes have two, as this machine must have."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    conf = ("--conf", "TaskPlugin=task/affinity")
    cluster = SlurmCluster.start(("--no-accounting", "--cpus", "2", *conf))
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    yield cluster
    cluster.stop()


def test_runs_side_by_side_have_cores_of_their_own(binding_slurm: SlurmCluster, tmp_path: Path) -> None:
    sent(packed(tmp_path, 2, {"side_by_side": 2}), tmp_path)
    first, second = (set(cores) for cores in seen(tmp_path, "cores"))
    assert first
    assert second
    assert not first & second


def test_a_dead_run_frees_its_slot_and_one_that_hangs_ends_at_its_own_time(slurm: SlurmCluster, tmp_path: Path) -> None:
    named = {"dies": {"mischief": "kill"}, "hangs": {"mischief": "wait"}, "a": {}, "b": {"train.epochs": 4}}
    resources = {"cpus": 1, "gpus": 1, "time": "5s", "memory": "200M"}
    array = {"side_by_side": 2, "in_turn": 2}
    config = stage(
        tmp_path, "one", matrix={"named": named}, resources=resources, array=array, retry={"max_attempts": 1}
    )
    assert "sent 4 runs in 1 array task" in sent(config, tmp_path, "signal_seconds: 10\n")
    assert states(tmp_path, "one") == [
        ("failed", "killed"), ("failed", "timeout"), ("completed", None), ("completed", None),
    ]  # fmt: skip


@pytest.mark.parametrize("requeue", [True, False])
def test_what_does_not_fit_into_the_time_goes_back_and_is_not_counted(
    slurm: SlurmCluster, tmp_path: Path, requeue: bool
) -> None:
    """The partition allows 10 minutes: after the first run there is no time for one that may take 10 minutes."""
    count, more = (2, "") if requeue else (5, "requeue: false\n")
    asked = {"cpus": 1, "time": "10m", "memory": "200M", "partition": "short"}
    array = {"in_turn": count}
    config = stage(tmp_path, "one", matrix={"seeds": list(range(count))}, resources=asked, array=array)
    sent(config, tmp_path, more)
    if not requeue:
        assert Counter(states(tmp_path, "one")) == {("completed", None): 1, ("failed", "preempted"): 4}
        for _ in range(4):  # one more each time; three attempts would be the most
            sent(config, tmp_path, more)
    assert states(tmp_path, "one") == [("completed", None)] * count
    assert [starts(run) for run in all_runs(tmp_path)] == [1] * count


def all_runs(folder: Path) -> list[RunDir]:
    directory = ExperimentDir(folder / "one")
    return [directory.run(path.name) for path in sorted(directory.runs.iterdir())]


def starts(run: RunDir) -> int:
    return sum("ended" not in line for line in read_json_lines(run.attempts))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_many_runs_in_twenty_tasks_survive_two_killed_tasks_and_a_crashed_node(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    count = int(os.environ.get("RUNNER_TEST_RUNS", "200"))
    array = {"side_by_side": 2, "in_turn": count // 40}
    config = packed(tmp_path, count, array, gpus=0, train={"epochs": 2, "epoch_seconds": 0.1})
    submit = ("submit", config, "--cluster", site(tmp_path))
    assert f"sent {count:,} runs in 20 array tasks" in runner(*submit, root=tmp_path).stderr
    job = next(line["job_id"] for line in read_json_lines(tmp_path / "one" / "submissions.jsonl") if "job_id" in line)
    results = f"runs/*/{RunDir(Path()).result.name}"
    wait_until(lambda: len(list((tmp_path / "one").glob(results))) > count // 10, 300, "the first results")
    nodes = slurm.run("squeue", "-h", "-r", "-j", job, "-t", "RUNNING", "-o", "%N").split()
    claims = [read_json(path) or {} for path in (tmp_path / "one").glob(f"runs/*/{RunDir(Path()).claim.name}")]
    parents = sorted({claim["pid"] for claim in claims if claim})
    assert len(parents) > 2
    for pid in parents[:2]:
        os.kill(pid, signal.SIGKILL)
    slurm.control("node-crash", nodes[-1])
    for _ in range(4):
        runner(*submit, "--wait", root=tmp_path)
        if set(states(tmp_path, "one")) == {("completed", None)}:
            break
    assert set(states(tmp_path, "one")) == {("completed", None)}
    completing = [(read_json(run.result) or {})["attempts"] for run in all_runs(tmp_path)]
    assert completing == [starts(run) for run in all_runs(tmp_path)]  # none was started again after its result
    assert sum(starts(run) > 1 for run in all_runs(tmp_path)) <= len(claims) + 2 * len(nodes)  # those at work then
