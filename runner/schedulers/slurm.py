"""Slurm: arrays sent through submitit, one squeue a look, scancel. The only module that calls Slurm's commands."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import CommandFailed, UserError

if TYPE_CHECKING:  # their schemas take a while to import, and `runner status` needs none
    from runner.cluster import SlurmCluster
    from runner.experiment import Array, Resources

PENDING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"}


@dataclass(frozen=True)
class Element:
    """One array task (or a job that is no array) in the queue."""

    job_id: str  # of the array
    index: int  # 0 where the job is no array
    state: str  # Slurm's word: PENDING, RUNNING, …
    comment: str
    reason: str
    start: float  # Unix seconds of its (expected) start; 0 where Slurm does not know


def call(command: list[str], timeout: float = 60) -> str:
    """The output of one of Slurm's commands; CommandFailed with its own words when it fails."""
    environment = os.environ | {"SLURM_BITSTR_LEN": "0", "SLURM_TIME_FORMAT": "%s"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=environment, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise _missing(command[0]) from None
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"{command[0]} did not answer within {timeout:.0f} s") from None
    if done.returncode:
        raise CommandFailed(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def queue() -> list[Element]:
    """Every element of this user's jobs that Slurm still knows, with one squeue."""
    output = call(["squeue", "--me", "-r", "-h", "-o", "%F|%K|%T|%S|%r|%k"])
    elements = []
    for line in output.splitlines():
        fields = line.strip().split("|", 5)
        if len(fields) < 6:  # the rest of a comment with line breaks, of a job that is not ours
            continue
        job_id, index, state, start, reason, comment = fields
        number, since = (int(text) if text.isdigit() else 0 for text in (index, start))
        elements.append(Element(job_id, number, state, comment, reason, float(since)))
    return elements


def cancel(job_ids: list[str]) -> None:
    """scancel jobs, arrays (`12`) or elements (`12_3`), many a call."""
    for start in range(0, len(job_ids), 200):
        call(["scancel", *job_ids[start : start + 200]])


def check_commands() -> None:
    """UserError when this machine cannot submit to Slurm; said before anything is written."""
    for command in ("sbatch", "squeue", "scancel", "scontrol", "srun"):
        if shutil.which(command) is None:
            raise _missing(command)


def _missing(command: str) -> UserError:
    return UserError(
        f"Slurm's command {command!r} is not on this machine",
        next_command="submit from a login node of the cluster, or here with --cluster local",
    )


def time_limit_minutes(resources: Resources) -> int:
    """The time limit in the whole minutes that submitit takes, rounded up."""
    return -(-(resources.time or 0) // 60)


def parameters(
    name: str, token: str, resources: Resources, array: Array | None, cluster: SlurmCluster, environment: dict[str, str]
) -> dict[str, Any]:
    """The parameters of submitit's SlurmExecutor for one array."""
    from runner.cluster import worker_environment

    exports = [f"export {key}={shlex.quote(value)}" for key, value in worker_environment(cluster, environment).items()]
    further: dict[str, Any] = {key: value for key, value in cluster.sbatch.items() if value is not False}
    further["requeue" if cluster.requeue else "no-requeue"] = True
    if resources.gpus and cluster.gpus_option == "gres":
        own = f"gpu:{resources.gpus}"
        further["gres"] = f"{own},{further['gres']}" if further.get("gres") else own
    chosen: dict[str, Any] = {
        "job_name": name,
        "comment": comment(token),
        "partition": resources.partition or cluster.partition,
        "account": cluster.account,
        "qos": cluster.qos,
        "constraint": cluster.constraint,
        "time": time_limit_minutes(resources),
        "cpus_per_task": resources.cpus,
        "mem": f"{resources.memory}M" if resources.memory else None,
        "gpus_per_node": resources.gpus if resources.gpus and cluster.gpus_option == "gpus-per-node" else None,
        "array_parallelism": (array.max_parallel if array else None) or cluster.max_parallel or 10**6,
        "signal_delay_s": cluster.signal_seconds,
        "stderr_to_stdout": True,
        "setup": [*cluster.setup, *exports],
        "additional_parameters": further,
    }
    return {key: value for key, value in chosen.items() if value is not None}


def comment(token: str) -> str:
    """What --comment says of an array, so that it is found without its id."""
    return f"runner:{token}"


def is_whole(folder: Path, job_id: str, count: int) -> bool:
    """Whether submitit has put the callable of every element in place, which it does after sbatch."""
    names = [job_id] if count == 1 else [f"{job_id}_{index}" for index in range(count)]
    return all((folder / f"{name}_submitted.pkl").exists() for name in names)


def log(folder: Path, job_id: str, index: int, count: int) -> Path:
    """What submitit calls the output of an array task, in which its shell tells what kept it from starting Python."""
    return folder / (f"{job_id}_0_log.out" if count == 1 else f"{job_id}_{index}_0_log.out")


def send(folder: Path, tasks: list[Callable[[], Any]], params: dict[str, Any], python: str | None) -> str:
    """Send one array whose elements call `tasks` in order; the id of the array.

    Nothing but the callables is pickled; they hold run directories only.
    """
    from submitit.slurm.slurm import SlurmExecutor

    folder.mkdir(parents=True, exist_ok=True)
    # -P: a folder named runner, jobs or models where the person stands when submitting must not hide ours
    executor = SlurmExecutor(folder=folder, python=(python or shlex.quote(sys.executable)) + " -P")
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # it repeats what is in the error
            executor.update_parameters(**params)
            jobs = executor.submit_array(tasks)
    except (RuntimeError, subprocess.CalledProcessError) as error:  # submitit's FailedSubmissionError among them
        raise _refused(str(error)) from None
    return str(jobs[0].job_id).partition("_")[0]


# What sbatch says → what it is about; the first that fits
_ABOUT = {
    "qos specification": "`qos` of the cluster file",
    "SubmitJob": "`max_submit_jobs` of the cluster file",
    "Invalid account": "`account` of the cluster file",
    "feature specification": "`constraint` of the cluster file",
    "unrecognized option": "`sbatch` of the cluster file",
    "partition": "`partition` of the cluster file",
    "generic resource": "`gpus_option` of the cluster file, and `resources.gpus` of the experiment file",
    "node configuration": "`resources` of the experiment file; `scontrol show node` lists what there is",
}


def _refused(text: str) -> CommandFailed:
    lines = [line.strip().removeprefix("sbatch: ").removeprefix("error: ") for line in text.strip().splitlines()]
    said = [line for line in lines if not line.startswith("Try ")][-3:]
    about = next((what for words, what in _ABOUT.items() if words in " ".join(said)), None)
    hint = f"\n    see {about}" if about else ""
    return CommandFailed(f"sbatch refused the array: {'; '.join(said)}{hint}")
