"""The main job on a real Slurm: one array over several nodes, the same numbers as on the local pool."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import yaml

from crystal_experiment import command, results, write_config
from runner.files import read_json, read_json_lines
from runner.rundir.layout import ExperimentDir
from slurm_cluster import SlurmCluster
from tiny_experiment import wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.torch]

SITE = """\
kind: slurm
partition: gpu
environment: {RUNNER_HEARTBEAT_S: "0.5"}
signal_seconds: 30
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """The root of the same search on the local pool."""
    folder = tmp_path_factory.mktemp("local")
    done = command("runner.cli", "submit", write_config(folder), "--root", folder, "--wait", cache=cache)
    assert done.returncode == 0, done.stderr
    return folder


def submit(folder: Path, cache: Path, *more: str, site: str = SITE) -> str:
    (folder / "site.yaml").write_text(site)
    config = write_config(folder)
    done = command(
        "runner.cli", "submit", config, "--root", folder, "--cluster", folder / "site.yaml", *more, cache=cache
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def states(folder: Path, cache: Path) -> list[str]:
    shown = command("runner.cli", "status", "small", "--root", folder, "--format", "json", cache=cache)
    return [run["state"] for run in json.loads(shown.stdout)["runs"]]


def test_one_array_gives_the_numbers_of_the_local_pool(
    slurm: SlurmCluster, tmp_path: Path, cache: Path, undisturbed: Path
) -> None:
    told = submit(tmp_path, cache, "--wait")
    assert "sent 3 runs in 3 array tasks to Slurm array" in told
    assert results(tmp_path) == results(undisturbed)
    summary = command("analysis.cli", "summarize", "small", "--root", tmp_path, cache=cache)
    assert summary.returncode == 0, summary.stderr
    hosts = [read_json(path / "heartbeat.json")["host"] for path in ExperimentDir(tmp_path / "small").runs.iterdir()]
    assert set(hosts) <= {"n1", "n2", "n3", "n4"}


@pytest.mark.parametrize("victim", ["child", "parent"])
def test_killed_process_on_a_node_costs_only_its_run(
    slurm: SlurmCluster, tmp_path: Path, cache: Path, undisturbed: Path, victim: str
) -> None:
    submit(tmp_path, cache)
    directory = ExperimentDir(tmp_path / "small")
    run = directory.run(min(results(undisturbed)))
    wait_until(lambda: len(read_json_lines(run.metrics)) == 1, 90, "first epoch")
    heartbeat = read_json(run.heartbeat)
    os.kill(heartbeat["pid" if victim == "child" else "parent_pid"], signal.SIGKILL)
    wait_until(lambda: states(tmp_path, cache).count("completed") == 2, 90, "the other runs")
    wait_until(lambda: not slurm.run("squeue", "--noheader"), 90, "an empty queue")
    told = submit(tmp_path, cache, "--wait")
    assert "sent 1 run in 1 array task" in told
    assert results(tmp_path) == results(undisturbed)


def test_real_mistakes_of_training_and_data_keep_their_kinds(slurm: SlurmCluster, tmp_path: Path, cache: Path) -> None:
    """A loss that explodes, and more structure files deleted while the array waits than may be."""
    crystals = tmp_path / "crystals"
    crystals.mkdir()
    for n in range(20):
        cell = "".join(f"{' '.join(f'3.{n:02}' if i == j else '0' for j in range(3))}\n" for i in range(3))
        (crystals / f"POSCAR-{n}.vasp").write_text(f"Po\n1.0\n{cell}Po\n1\nDirect\n0 0 0\n")
    (crystals / "id_prop.csv").write_text("".join(f"POSCAR-{n}.vasp,{n}.5\n" for n in range(20)))
    (tmp_path / "site.yaml").write_text(SITE + "sbatch: {hold: true}\n")
    config = yaml.safe_load(write_config(tmp_path, epochs=2).read_text())
    mine = {"dataset": str(crystals), "target": "target", "train": 8, "val": 2, "test": 2, "split": "random"}
    config |= {"experiment": "broken", "baseline": None, "matrix": {"named": {
        "explodes": {"train.learning_rate": 1e30, "model.middle_fusion": {"name": "none"}},
        "gone": {"data": mine, "model.middle_fusion": {"name": "none"}},
    }}}  # fmt: skip
    (tmp_path / "broken.yaml").write_text(yaml.safe_dump(config))
    sent = command("runner.cli", "submit", tmp_path / "broken.yaml", "--root", tmp_path, "--cluster",
                   tmp_path / "site.yaml", cache=cache)  # fmt: skip
    assert sent.returncode == 0, sent.stderr
    for n in (7, 8, 9):  # of 20: more than the tenth that is left out
        (crystals / f"POSCAR-{n}.vasp").unlink()
    slurm.run("scontrol", "release", slurm.run("squeue", "--noheader", "--format=%F").split()[0])
    runs = ExperimentDir(tmp_path / "broken").runs
    wait_until(lambda: len(list(runs.glob("*/failure.json"))) == 2, 90, "both failures")
    kinds = {read_json(path)["kind"]: read_json(path)["message"] for path in runs.glob("*/failure.json")}
    assert set(kinds) == {"diverged", "data_missing"}, kinds
    assert "POSCAR-7.vasp" in kinds["data_missing"]


def test_resubmitting_a_queued_experiment_sends_nothing(slurm: SlurmCluster, tmp_path: Path, cache: Path) -> None:
    held = SITE + "sbatch: {hold: true}\n"
    submit(tmp_path, cache, site=held)
    assert states(tmp_path, cache) == ["queued"] * 3
    told = submit(tmp_path, cache, site=held)
    assert "nothing to send" in told
    assert "3 queued or running" in told
    cancelled = command("runner.cli", "cancel", "small", "--root", tmp_path, cache=cache)
    assert "3 runs cancelled" in cancelled.stderr
    wait_until(lambda: not slurm.run("squeue", "--noheader"), 30, "an empty queue")
    assert states(tmp_path, cache) == ["cancelled"] * 3


def test_array_larger_than_the_site_allows_is_split(slurm: SlurmCluster, tmp_path: Path, cache: Path) -> None:
    told = submit(tmp_path, cache, "--wait", site=SITE + "max_array_size: 2\n")
    assert "sent 3 runs in 3 array tasks to Slurm array" in told
    sent = [
        line for line in read_json_lines(ExperimentDir(tmp_path / "small").submission_log) if line["event"] == "sent"
    ]
    assert len(sent) == 2
    assert states(tmp_path, cache) == ["completed"] * 3
