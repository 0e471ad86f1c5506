"""Slurm: arrays sent through submitit, one squeue a look, scancel."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import CommandFailed, UserError
from runner.slurm_commands import SlurmCommands, clean

if TYPE_CHECKING:  # their schemas take a while to import, and `runner status` needs none
    from runner.config.cluster import SlurmCluster
    from runner.config.experiment import Array, Resources

_ROW = "%F|%K|%T|%S|%r|%k"  # of squeue
_OF_STEP = ("SLURM_DISTRIBUTION", *(f"SLURM_CPU_BIND{of}" for of in ("", "_LIST", "_TYPE", "_VERBOSE")))
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


def queue(commands: SlurmCommands, users: Iterable[int] = ()) -> list[Element]:
    """Every element of the jobs of `users` (ids; none: of this user) that Slurm still knows, with one squeue."""
    whose = f"--user={','.join(map(str, sorted(users)))}" if users else "--me"
    rows = [line.strip().split("|", 5) for line in commands.call("squeue", whose, "-r", "-h", "-o", _ROW).splitlines()]
    return [
        Element(job_id, _whole_number(index), state, comment, reason, _whole_number(start))
        for job_id, index, state, start, reason, comment in (row for row in rows if len(row) == 6)
    ]  # a shorter row is the rest of a comment with line breaks, of a job that is not ours


def _whole_number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def boot_time(commands: SlurmCommands) -> float:
    """Unix seconds since when slurmctld works; one that dies may lose what it had taken just before. 0: not told."""
    shown = commands.setting("BOOT_TIME")
    return datetime.fromisoformat(shown).timestamp() if shown else 0.0


def accounting(commands: SlurmCommands, job_ids: Collection[str]) -> dict[str, str]:
    """Array task (12, 12_3) → the state that the accounting has of it; empty without it."""
    words = ("-n", "-X", "-P", "--allusers", "-j", ",".join(sorted(job_ids)), "-o", "JobID,State")
    try:
        rows = [line.split("|") for line in commands.call("sacct", *words).splitlines()]
    except UserError:
        return {}
    return {row[0]: row[1] for row in rows if len(row) == 2}


def cancel(commands: SlurmCommands, job_ids: list[str]) -> None:
    """scancel jobs, arrays (`12`) or elements (`12_3`), many per call."""
    for start in range(0, len(job_ids), 200):
        commands.call("scancel", *job_ids[start : start + 200])


def check_commands(commands: SlurmCommands) -> None:
    """UserError when this machine cannot submit to Slurm; said before anything is written."""
    for name in commands.missing():
        raise commands.is_missing(name)


def time_limit_minutes(resources: Resources) -> int:
    """The time limit in the whole minutes that submitit takes, rounded up."""
    return -(-(resources.time or 0) // 60)


def parameters(
    name: str,
    token: str,
    resources: Resources,
    array: Array | None,
    cluster: SlurmCluster,
    environment: dict[str, str],
) -> dict[str, Any]:
    """The parameters of submitit's SlurmExecutor for one array. resources: of one array task."""
    from runner.config.cluster import worker_environment

    exports = [f"export {key}={shlex.quote(value)}" for key, value in worker_environment(cluster, environment).items()]
    if "srun" in cluster.commands:
        exports.append(f'srun() {{ {shlex.quote(cluster.commands["srun"])} "$@"; }}')  # the script of submitit calls it
    further: dict[str, Any] = {key: value for key, value in cluster.sbatch.items() if value is not False}
    further["requeue" if cluster.requeue else "no-requeue"] = True
    if resources.gpus and cluster.gpus_option == "gres":
        further["gres"] = ",".join(filter(None, (f"gpu:{resources.gpus}", further.get("gres"))))
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
    if resources.processes > 1:
        chosen |= {"nodes": resources.nodes, "ntasks_per_node": resources.tasks_per_node}
        chosen["srun_args"] = _parent_step(resources)
    return {key: value for key, value in chosen.items() if value is not None}


def _parent_step(resources: Resources) -> list[str]:
    """What the srun of the parent is given: it starts once, and leaves all CPUs, memory and GPUs to the run's own srun.

    A step of one task says so in its environment, where that srun would take it for its own size and CPUs.
    """
    nodes, tasks = resources.nodes, resources.tasks_per_node
    of_job = {
        "SLURM_NNODES": nodes,
        "SLURM_NTASKS": nodes * tasks,
        "SLURM_NPROCS": nodes * tasks,
        "SLURM_TASKS_PER_NODE": f"{tasks}(x{nodes})" if nodes > 1 else tasks,
        "SRUN_CPUS_PER_TASK": resources.cpus,  # since 22.05 srun does not ask for what sbatch was told
    }
    own = [f"{name}={value}" for name, value in of_job.items()]
    return ["--nodes=1", "--ntasks=1", "--overlap", "env", *(f"--unset={name}" for name in _OF_STEP), *own]


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


def given(cluster: SlurmCluster, resources: Resources) -> set[str]:
    """The keys that decide what sbatch is told, over which no variable of the shell counts."""
    chosen = {"account": cluster.account, "qos": cluster.qos, "partition": cluster.partition or resources.partition}
    return {key for key, value in chosen.items() if value} | set(cluster.sbatch)


def send(folder: Path, tasks: list[Callable[[], Any]], params: dict[str, Any], cluster: SlurmCluster) -> str:
    """Send one array whose elements call `tasks` in order; the id of the array.

    Nothing but the callables is pickled; they hold run directories only.
    """
    from unittest.mock import patch  # it imports asyncio, which who only looks need not wait for

    from submitit.core import utils
    from submitit.slurm import slurm as of_submitit

    commands = SlurmCommands(cluster.commands)

    class Executor(of_submitit.SlurmExecutor):
        """Calls sbatch as the site does."""

        @classmethod
        def affinity(cls) -> int:
            return -1 if commands.missing() else 2

        def _make_submission_command(self, submission_file_path: Path) -> list[str]:
            submission_file_path.chmod(0o600)  # the variables of the cluster file may be tokens
            return [commands.path("sbatch"), str(submission_file_path)]

        @property
        def _submitit_command_str(self) -> str:
            """submitit's own entry, but for the check of who wrote the pickle."""
            return f"{self.python} -u -m jobs.node.submitted {shlex.quote(str(self.folder))}"

    folder.mkdir(parents=True, exist_ok=True)
    # -P: a folder named runner, jobs or models where the person stands when submitting must not hide ours
    executor = Executor(folder=folder, python=shlex.quote(cluster.python or sys.executable) + " -P")
    options = {key for key in ("account", "qos", "partition") if key in params} | set(params["additional_parameters"])
    try:
        with (
            patch.dict(os.environ, clean(os.environ, options), clear=True),  # a job inherits that of sbatch
            contextlib.redirect_stderr(io.StringIO()),
            patch.object(of_submitit, "SlurmExecutor", Executor),  # for an array it makes one of its own
            patch.object(utils, "cloudpickle_dump", _dump_for_us(utils.cloudpickle_dump)),
        ):
            executor.update_parameters(**params)  # what it says on stderr is in the error again
            jobs = executor.submit_array(tasks)
    except (RuntimeError, subprocess.CalledProcessError) as error:  # submitit's FailedSubmissionError among them
        raise _refused(str(error)) from None
    return str(jobs[0].job_id).partition("_")[0]


def _dump_for_us(dump: Callable[[Any, Path], None]) -> Callable[[Any, Path], None]:
    """`dump` of a pickle that nobody else may write to: it decides what an array task runs.

    A umask may admit a group. It is changed for the pickle alone; sbatch hands it on to the runs.
    """

    def dump_for_us(obj: Any, filename: Path) -> None:
        before = os.umask(0o077)
        os.umask(before | 0o022)
        try:
            dump(obj, filename)
        finally:
            os.umask(before)

    return dump_for_us


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
    reasons = [line for line in lines if not line.startswith("Try ")][-3:]
    hint = next((f"\n    see {what}" for words, what in _ABOUT.items() if words in " ".join(reasons)), "")
    return CommandFailed(f"sbatch refused the array: {'; '.join(reasons)}{hint}")
