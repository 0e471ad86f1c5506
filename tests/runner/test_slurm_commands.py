"""Slurm's commands get one environment, and one module starts them."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.commands.doctor import examine
from runner.config.cluster import SlurmCluster
from runner.config.experiment import Resources
from runner.slurm_commands import SlurmCommands, choices, clean, from_the_shell
from runner.submit.arrays import warnings
from runner.submit.schedulers import limits, slurm
from runner.submit.submission import environment
from test_single_definitions import modules

JOB = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_MEM_PER_NODE": "4096", "SLURM_MEM_PER_CPU": "1",
       "SLURM_CPUS_ON_NODE": "4", "SLURM_NTASKS": "1", "SLURM_NNODES": "1", "SLURM_GPUS_ON_NODE": "1",
       "SLURM_TRES_PER_TASK": "cpu:1", "SLURM_EXPORT_ENV": "NONE", "SLURMD_NODENAME": "n1"}  # fmt: skip
SHELL = {"SQUEUE_STATES": "R", "SACCT_FEDERATION": "1", "SLURM_TIME_FORMAT": "%H", "SACCT_TIME_FORMAT": "%H",
         "SBATCH_TIMELIMIT": "1", "SBATCH_WAIT": "1", "SCANCEL_INTERACTIVE": "1"}  # fmt: skip
KEPT = {"PATH": "/bin", "SLURM_CONF": "/etc/slurm.conf", "SLURM_JWT": "secret", "SLURM_CLUSTERS": "a"}
CHOSEN = {"SBATCH_ACCOUNT": "chemistry", "SBATCH_QOS": "long", "SBATCH_RESERVATION": "r", "SBATCH_PARTITION": "gpu"}


def test_neither_the_surrounding_job_nor_the_shell_reaches_slurms_commands() -> None:
    assert clean(JOB | SHELL | KEPT | CHOSEN) == KEPT | CHOSEN


def test_what_a_file_says_counts_over_the_shell() -> None:
    assert clean(KEPT | CHOSEN, {"account", "reservation"}) == KEPT | {
        "SBATCH_QOS": "long",
        "SBATCH_PARTITION": "gpu",
    }
    assert choices(CHOSEN, {"partition", "qos", "reservation"}) == {"account": "chemistry"}
    cluster = SlurmCluster.model_validate({"kind": "slurm", "qos": "short", "sbatch": {"reservation": "mine"}})
    assert slurm.given(cluster, Resources(partition="fat")) == {"qos", "reservation", "partition"}


def test_what_is_kept_is_shown_without_the_token() -> None:
    shown = from_the_shell(KEPT | CHOSEN | SHELL, {"qos", "reservation", "partition"})
    assert shown == ["SLURM_CLUSTERS=a", "SLURM_CONF=/etc/slurm.conf", "SLURM_JWT=…", "SBATCH_ACCOUNT=chemistry"]


def test_doctor_shows_what_the_shell_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sbatch", "squeue", "scancel", "scontrol", "srun"):
        wrapper(tmp_path / name, "exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SBATCH_ACCOUNT", "chemistry")
    found = {f.what: f.detail for f in examine(SlurmCluster(kind="slurm"), 0, tmp_path)}
    assert "SBATCH_ACCOUNT=chemistry" in found["your shell"]


def wrapper(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_wrapped_commands_are_called_by_their_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "sbatch": "echo Submitted batch job 5",
        "squeue": "echo '5|0|RUNNING|1|None|c'",
        "srun": "",
        "scancel": "",
    }
    answers["scontrol"] = "echo MaxArraySize = 9"
    paths = {name: str(wrapper(tmp_path / f"site-{name}", text)) for name, text in answers.items()}
    cluster = SlurmCluster.model_validate({"kind": "slurm", "commands": paths})
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert [element.job_id for element in slurm.queue(SlurmCommands(cluster.commands))] == ["5"]
    assert limits.max_array_size(cluster) == 9
    params = slurm.parameters("x", "t", Resources(time="5m"), None, cluster, {})  # type: ignore[arg-type]
    assert f'srun() {{ {paths["srun"]} "$@"; }}' in params["setup"]
    assert slurm.send(tmp_path / "slurm", [print], params, cluster) == "5"
    told = environment(cluster, Resources(time="5m"))  # type: ignore[arg-type]
    assert SlurmCommands.from_environment(told).path("scontrol") == paths["scontrol"]


def started(tree: ast.Module) -> Iterator[str]:
    """Slurm's commands that stand first in a list of words."""
    names = {"sbatch", "squeue", "scancel", "scontrol", "sacct", "sacctmgr", "sinfo"}
    for node in ast.walk(tree):
        first = node.elts[0] if isinstance(node, ast.List) and node.elts else None
        if isinstance(first, ast.Constant) and first.value in names:
            yield str(first.value)


def test_no_other_module_starts_a_command_of_slurms() -> None:
    assert {name: found for name, tree in modules() if (found := list(started(tree)))} == {}
    assert list(started(ast.parse('subprocess.run(["squeue", "--me"])')))


@pytest.mark.parametrize(("time", "said"), [("2m", True), ("3m", True), ("4m", False)])
def test_a_warning_that_takes_most_of_the_time_limit_is_said(time: str, said: bool) -> None:
    told = warnings(SlurmCluster(kind="slurm"), Resources.model_validate({"time": time}))
    assert [line.startswith("warning: signal_seconds is 90 of a time limit of") for line in told] == [True] * said
