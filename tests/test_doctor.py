"""`runner doctor` and `runner schema`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from slurm_cluster import SlurmCluster
from tiny_experiment import environment


def runner(*arguments: str | Path, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "runner.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(**changes), timeout=180)


@pytest.mark.slurm
def test_doctor_finds_a_healthy_site_healthy(slurm: SlurmCluster, tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(f"kind: slurm\npartition: gpu\ncache: {tmp_path / 'cache'}\n")
    done = runner("doctor", site, "--root", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for line in ("ok    slurmctld", "ok    a job", "ok    shared file system", "ok    cache"):
        assert line in done.stdout
    early = re.search(r"ok    warning signal: came (\d+) s before the time limit", done.stdout)
    assert early, done.stdout
    assert 60 < int(early[1]) < 110
    assert not list(tmp_path.glob("doctor-*"))


@pytest.mark.slurm
def test_doctor_sees_that_no_gpu_is_there_and_that_the_warning_ends_a_job(slurm: SlurmCluster, tmp_path: Path) -> None:
    """A wrapper around Python that does not survive the signal: Slurm ends the step with it."""
    wrapper, site = tmp_path / "python", tmp_path / "site.yaml"
    wrapper.write_text(f'#!/bin/sh\n{sys.executable} "$@"\nexit $?\n')
    wrapper.chmod(0o755)
    site.write_text(f"kind: slurm\npartition: gpu\npython: {wrapper}\n")
    done = runner("doctor", site, "--gpus", "1", "--root", tmp_path)
    assert done.returncode == 1
    assert "FAIL  GPU: none" in done.stdout
    assert "FAIL  warning signal: did not come, or ended the job at once" in done.stdout


@pytest.mark.slurm
def test_doctor_names_a_partition_that_does_not_exist(slurm: SlurmCluster, tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("kind: slurm\npartition: gpuu\n")
    done = runner("doctor", site, "--root", tmp_path)
    assert done.returncode == 1
    assert "FAIL  partition: Slurm has no partition 'gpuu'; allowed: " in done.stdout
    assert "did you mean: gpu" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_doctor_of_a_machine_without_slurm_says_what_is_missing(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("kind: slurm\n")
    done = runner("doctor", site, PATH="/nonexistent")
    assert done.returncode == 1
    assert "FAIL  Slurm's commands: missing: sbatch" in done.stdout


def test_schema_describes_the_file_and_the_task() -> None:
    schema = json.loads(runner("schema").stdout)
    assert {"experiment", "params", "matrix", "cluster", "retry"} <= set(schema["properties"])
    assert {"data", "graph", "text", "model", "train"} == set(schema["$defs"]["Params"]["properties"])
    assert "required" not in schema["$defs"]["Params"]
