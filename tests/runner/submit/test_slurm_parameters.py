"""The batch script that an array is sent with, word for word."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from submitit.slurm.slurm import SlurmExecutor, _make_sbatch_string

from runner.config.cluster import SlurmCluster
from runner.config.experiment import Array, Resources
from runner.errors import CommandFailed
from runner.submit.schedulers import slurm


def test_pythonpath_of_the_cluster_file_comes_behind_the_code_of_the_submission() -> None:
    site = {"environment": {"PYTHONPATH": "/site/lib"}}
    text = script({"time": "1h"}, site, environment={"PYTHONPATH": "/runs/e/code/1234"})
    assert "export PYTHONPATH=/runs/e/code/1234:/site/lib\n" in text


def script(
    resources: dict[str, Any], site: dict[str, Any] | None = None, array: dict[str, Any] | None = None,
    environment: dict[str, str] | None = None, count: int | None = 3,
) -> str:  # fmt: skip
    cluster = SlurmCluster.model_validate({"kind": "slurm", **(site or {})})
    params = slurm.parameters(
        "stage1", "f00d", Resources.model_validate(resources), Array.model_validate(array or {}), cluster,
        environment or {},
    )  # fmt: skip
    return _make_sbatch_string(command="python -m x", folder=Path("/runs"), map_count=count, **params)


def options(text: str) -> dict[str, str]:
    """Long option → its value as it is written."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#SBATCH --"):
            name, _, value = line.removeprefix("#SBATCH --").partition("=")
            assert name not in found, f"--{name} stands twice"
            found[name] = value
    return found


def test_parent_of_a_command_on_several_nodes_starts_once_and_hides_its_step_from_the_srun_of_the_command() -> None:
    text = script({"nodes": 2, "tasks_per_node": 4, "cpus": 8, "gpus": 4, "memory": "64G", "time": "1h"})
    asked = {"nodes": "2", "ntasks-per-node": "4", "cpus-per-task": "8", "gpus-per-node": "4", "mem": "65536M"}
    assert asked.items() <= options(text).items()
    (line,) = (line for line in text.splitlines() if line.startswith("srun "))
    assert line.endswith(
        "--nodes=1 --ntasks=1 --overlap env --unset=SLURM_DISTRIBUTION --unset=SLURM_CPU_BIND "
        "--unset=SLURM_CPU_BIND_LIST --unset=SLURM_CPU_BIND_TYPE --unset=SLURM_CPU_BIND_VERBOSE SLURM_NNODES=2 "
        "SLURM_NTASKS=8 SLURM_NPROCS=8 'SLURM_TASKS_PER_NODE=4(x2)' SRUN_CPUS_PER_TASK=8 python -m x"
    )


def test_whole_script_of_an_array() -> None:
    resources = {"gpus": 1, "cpus": 4, "memory": "16G", "time": "90s"}
    site = {
        "partition": "gpu,preempt", "account": "abc@v100", "sbatch": {"mail-type": "END", "hold": True, "nice": 5},
        "setup": ["module load cuda/12.4"], "environment": {"NOTE": "it's $HOME"},
    }  # fmt: skip
    text = script(resources, site, {"max_parallel": 2}, {"RUNNER_REQUEUE": "1"})
    assert (
        text
        == """\
#!/bin/bash

# Parameters
#SBATCH --account=abc@v100
#SBATCH --array=0-2%2
#SBATCH --comment=runner:f00d
#SBATCH --cpus-per-task=4
#SBATCH --gpus-per-node=1
#SBATCH --hold
#SBATCH --job-name=stage1
#SBATCH --mail-type=END
#SBATCH --mem=16384M
#SBATCH --nice=5
#SBATCH --nodes=1
#SBATCH --open-mode=append
#SBATCH --output=/runs/%A_%a_0_log.out
#SBATCH --partition=gpu,preempt
#SBATCH --requeue
#SBATCH --signal=USR2@90
#SBATCH --time=2
#SBATCH --wckey=submitit

# setup
module load cuda/12.4
export RUNNER_REQUEUE=1
export NOTE='it'"'"'s $HOME'

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output /runs/%A_%a_%t_log.out python -m x
"""
    )


def test_what_is_not_given_is_left_to_the_site() -> None:
    found = options(script({"time": 30}))
    assert {"partition", "account", "qos", "constraint", "mem", "gpus-per-node", "gres"}.isdisjoint(found)
    assert (found["cpus-per-task"], found["time"], found["array"]) == ("1", "30", "0-2%3")


def test_a_run_without_gpus_asks_for_none() -> None:
    assert {"gpus-per-node", "gres"}.isdisjoint(options(script({"time": 30, "gpus": 0}, {"gpus_option": "gres"})))


def test_gpus_are_asked_for_as_the_site_wants_and_beside_other_resources() -> None:
    found = options(script({"time": 30, "gpus": 2}, {"gpus_option": "gres", "sbatch": {"gres": "lscratch:100"}}))
    assert found["gres"] == "gpu:2,lscratch:100"
    assert "gpus-per-node" not in found
    assert options(script({"time": 30, "gpus": 2}, {"sbatch": {"gres": "lscratch:100"}}))["gres"] == "lscratch:100"


@pytest.mark.parametrize(("requeue", "option"), [(True, "requeue"), (False, "no-requeue")])
def test_requeueing_is_said_either_way(requeue: bool, option: str) -> None:
    assert {"requeue", "no-requeue"} & set(options(script({"time": 30}, {"requeue": requeue}))) == {option}


@pytest.mark.parametrize(("written", "minutes"), [("1s", "1"), ("60s", "1"), ("61s", "2"), ("1-00:00:00", "1440")])
def test_time_limits_are_rounded_up_to_minutes(written: str, minutes: str) -> None:
    assert options(script({"time": written}))["time"] == minutes


def test_the_experiments_partition_comes_before_the_sites() -> None:
    assert options(script({"time": 30, "partition": "short"}, {"partition": "gpu"}))["partition"] == "short"


@pytest.mark.parametrize(
    ("asked", "site", "expected"), [(2, 5, "0-2%2"), (None, 2, "0-2%2"), (None, None, "0-2%3"), (7, None, "0-2%3")]
)
def test_parallel_tasks_are_limited_by_the_experiment_else_by_the_site(
    asked: int | None, site: int | None, expected: str
) -> None:
    found = options(script({"time": 30}, {"max_parallel": site}, {"max_parallel": asked}))
    assert found["array"] == expected


def test_an_array_of_one_is_a_plain_job() -> None:
    found = options(script({"time": 30}, count=None))
    assert "array" not in found
    assert found["output"] == "/runs/%j_0_log.out"


def test_an_option_that_is_false_is_left_out() -> None:
    assert "exclusive" not in options(script({"time": 30}, {"sbatch": {"exclusive": False}}))


def test_the_warning_comes_as_early_as_the_site_says() -> None:
    assert options(script({"time": 30}, {"signal_seconds": 300}))["signal"] == "USR2@300"


def test_values_with_blanks_and_quotes_stay_one_value() -> None:
    site = {"constraint": "a100&ib", "sbatch": {"mail-user": "a b'c"}}
    found = options(script({"time": 30}, site))
    assert found["constraint"] == "'a100&ib'"
    assert found["mail-user"] == """'a b'"'"'c'"""


@pytest.mark.parametrize(
    ("array", "gpus"),
    [({"side_by_side": 3}, 3), ({"side_by_side": 3, "share_gpu": True}, 1), ({"runs_per_task": 3}, 1)],
)
def test_an_array_task_asks_for_all_that_its_runs_need(array: dict[str, Any], gpus: int) -> None:
    asked = Resources.model_validate({"gpus": 1, "cpus": 4, "memory": "6G", "time": "10m"})
    packing = Array.model_validate({**array, "in_turn": 5})
    of_task = packing.of_task(asked, runs=14)
    params = slurm.parameters("x", "t", of_task, packing, SlurmCluster(kind="slurm"), {})
    assert (params["cpus_per_task"], params["mem"], params["time"]) == (12, f"{3 * 6144}M", 50)
    assert params["gpus_per_node"] == gpus
    assert packing.of_task(asked, runs=2).cpus == 8
    assert packing.of_task(asked, runs=2).time == 600


def test_an_interpreter_with_blanks_in_its_path_is_one_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    def refuse(executor: SlurmExecutor, tasks: object) -> None:
        started.append(shlex.split(executor._submitit_command_str))
        raise RuntimeError("not today")

    monkeypatch.setattr(SlurmExecutor, "submit_array", refuse)
    monkeypatch.setattr(slurm.SlurmCommands, "missing", lambda commands: [])
    site = SlurmCluster.model_validate({"kind": "slurm", "python": "/my apps/bin/python"})
    with pytest.raises(CommandFailed, match="not today"):
        slurm.send(tmp_path, [], {"additional_parameters": {}}, site)
    assert started[0][:2] == ["/my apps/bin/python", "-P"]


def test_nobody_else_may_write_to_the_pickle_of_an_array_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        slurm._dump_for_us(lambda _, filename: Path(filename).touch())(None, tmp_path / "array.pkl")
        assert os.umask(0o002) == 0o002  # as it was, for the runs
    finally:
        os.umask(before)
    assert (tmp_path / "array.pkl").stat().st_mode & 0o022 == 0
