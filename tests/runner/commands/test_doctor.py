"""`runner doctor` and `runner schema`."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from runner.commands import doctor
from runner_main import run
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
    schema = json.loads(run("schema").out)
    assert {"experiment", "params", "matrix", "cluster", "retry"} <= set(schema["properties"])
    assert {"data", "graph", "text", "model", "train"} == set(schema["$defs"]["Params"]["properties"])
    assert "required" not in schema["$defs"]["Params"]


def test_lines_of_doctor_in_the_docs_are_those_that_it_prints() -> None:
    page = (Path(__file__).parents[3] / "docs" / "cluster.md").read_text(encoding="utf-8")
    shown = re.findall(r"^(?:ok|note|FAIL) +([^:\n]+): (.*)$", page, re.MULTILINE)
    source = inspect.getsource(doctor)
    printed = set(re.findall(r'Finding\(\s*"([^"]+)"', source)) - {"partition", "GPU", "memory"}
    assert {what for what, _ in shown} == printed
    details = dict(shown)
    assert re.fullmatch(r"arrays of up to [\d,]+ tasks, .* at once; longest run .*", details["limits"])
    assert re.fullmatch(
        r"came \d+ s before the time limit, as a run needs for its checkpoint", details["warning signal"]
    )


def test_one_failed_check_is_one_check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("kind: slurm\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run("doctor", tmp_path / "site.yaml", "--root", tmp_path)
    assert "error: 1 check failed; see above" in done.err
