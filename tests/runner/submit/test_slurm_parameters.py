"""The batch script that an array is sent with, word for word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from submitit.slurm.slurm import _make_sbatch_string

from runner.config.cluster import SlurmCluster
from runner.config.experiment import Array, Resources
from runner.submit.schedulers import slurm


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


def test_runs_side_by_side_have_their_own_cores_and_memory_and_share_one_gpu() -> None:
    cluster, asked = SlurmCluster(kind="slurm"), Resources.model_validate({"gpus": 1, "cpus": 4, "memory": "6G"})
    params = slurm.parameters("x", "t", asked, Array(runs_per_task=3), cluster, {}, side_by_side=3)
    assert (params["cpus_per_task"], params["mem"], params["gpus_per_node"]) == (12, f"{3 * 6144}M", 1)
