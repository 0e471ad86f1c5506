"""Submitting while things break: one array runs, every run exactly once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from runner.files import read_json, read_json_lines
from runner.rundir.layout import ExperimentDir
from slurm_cluster import SlurmCluster
from tiny_experiment import TESTS, environment

pytestmark = pytest.mark.slurm

COMMAND = [sys.executable, "-P", "-m", "runner.cli", "submit"]


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """Of `runner submit` for six runs, two seconds each."""
    content = {
        "experiment": "six",
        "task": "tiny_task:TinyTask",
        "params": {"train": {"epoch_seconds": 0.5}},
        "matrix": {"axes": {"train.epochs": [1, 2, 3]}, "seeds": [0, 1]},
        "select": {"metric": "val_loss"},
        "resources": {"time": "5m", "memory": "500M"},
    }
    (tmp_path / "six.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "site.yaml").write_text("kind: slurm\npartition: gpu\nenvironment: {RUNNER_HEARTBEAT_S: '0.5'}\n")
    return [*COMMAND, str(tmp_path / "six.yaml"), "--root", str(tmp_path), "--cluster", str(tmp_path / "site.yaml")]


def run(command: list[str], **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, env=environment(**changes), cwd=TESTS, timeout=180)


def assert_each_ran_once(root: Path) -> None:
    runs = list(ExperimentDir(root / "six").runs.iterdir())
    assert len(runs) == 6
    for path in runs:
        assert (path / "result.json").exists(), path.name
        assert [line["attempt"] for line in read_json_lines(path / "attempts.jsonl") if "ended" not in line] == [1]


def sbatch_that(folder: Path, script: str) -> str:
    """A PATH on which sbatch is `script`, where REAL is the real one."""
    folder.mkdir()
    real = shutil.which("sbatch")
    (folder / "sbatch").write_text(f"#!/bin/bash\nREAL={real}\n{script}\n")
    (folder / "sbatch").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_crash_after_sbatch_leaves_an_array_that_the_next_submit_replaces(
    slurm: SlurmCluster, tmp_path: Path, arguments: list[str]
) -> None:
    path = sbatch_that(tmp_path / "bin", '"$REAL" --hold "$@"; kill -9 $PPID')
    crashed = run(arguments, PATH=path)
    assert crashed.returncode == -9
    sent = [line["event"] for line in read_json_lines(ExperimentDir(tmp_path / "six").submission_log)]
    assert sent == ["begun", "sending"]
    again = run([*arguments, "--wait"])
    assert again.returncode == 0, again.stderr
    assert "cancelled Slurm array" in again.stderr
    assert_each_ran_once(tmp_path)


def test_array_whose_id_alone_was_not_saved_is_taken_over(
    slurm: SlurmCluster, tmp_path: Path, arguments: list[str]
) -> None:
    assert run(arguments).returncode == 0
    log = ExperimentDir(tmp_path / "six").submission_log
    log.write_text("".join(line + "\n" for line in log.read_text().splitlines() if '"sent"' not in line))
    again = run([*arguments, "--wait"])
    assert again.returncode == 0, again.stderr
    assert "took over Slurm array" in again.stderr
    assert "nothing to send" in again.stderr
    assert_each_ran_once(tmp_path)


def test_two_submits_at_the_same_moment_send_one_array(
    slurm: SlurmCluster, tmp_path: Path, arguments: list[str]
) -> None:
    both = [
        subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=environment(), cwd=TESTS) for _ in range(2)
    ]
    told = [process.communicate(timeout=120)[1] for process in both]
    assert sum("sent 6 runs" in text for text in told) == 1, told
    assert run([*arguments, "--wait"]).returncode == 0
    assert_each_ran_once(tmp_path)


def test_controller_that_dies_during_submit_gets_nothing_and_loses_nothing(
    slurm: SlurmCluster, tmp_path: Path, arguments: list[str]
) -> None:
    controller = slurm.control("pid", "slurmctld").strip()
    path = sbatch_that(tmp_path / "bin", f'kill -9 {controller}; exec timeout 20 "$REAL" "$@"')
    try:
        away = run(arguments, PATH=path)
        assert away.returncode == 1
        assert "sbatch refused the array" in away.stderr
        assert "Traceback" not in away.stderr
    finally:
        slurm.repair()
    assert run([*arguments, "--wait"]).returncode == 0
    assert_each_ran_once(tmp_path)


def test_dead_controller_sends_nothing_until_it_is_back(
    slurm: SlurmCluster, tmp_path: Path, arguments: list[str]
) -> None:
    assert run([*arguments, "--wait"]).returncode == 0
    slurm.kill_controller()
    try:
        new_runs = [*arguments, "--set", "matrix.seeds=[0,1,2]"]
        refused = run(new_runs)
        assert refused.returncode == 1
        assert "nothing was submitted" in refused.stderr
    finally:
        slurm.repair()
    assert run([*new_runs, "--wait"]).returncode == 0
    results = [read_json(path / "result.json") for path in ExperimentDir(tmp_path / "six").runs.iterdir()]
    assert len(results) == 9


def test_a_submission_file_that_others_may_write_is_not_run(
    slurm: SlurmCluster, tmp_path: Path, arguments: list[str]
) -> None:
    with (tmp_path / "site.yaml").open("a") as site:
        site.write("sbatch: {hold: true}\n")
    assert run(arguments).returncode == 0
    folder = ExperimentDir(tmp_path / "six").slurm_logs(1)
    pickles = list(folder.glob("*_submitted.pkl"))
    assert pickles
    assert all(path.stat().st_mode & 0o022 == 0 for path in pickles)
    for path in pickles:
        path.chmod(0o666)
    job = pickles[0].name.partition("_")[0]
    slurm.run("scontrol", "release", job)
    slurm.wait_for(job, "FAILED")
    assert any("is not opened: others may write to it (mode 666)" in log.read_text() for log in folder.glob("*_log.*"))
