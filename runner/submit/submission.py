"""From runs to array tasks: what to send, the files written before, and sending it."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runner.config.cluster import Cluster, Preparing, SlurmCluster, Supervisor, has_secrets, worker_environment
from runner.config.experiment import Experiment, Resources
from runner.errors import CommandFailed
from runner.files import read_bytes, write_json, write_text
from runner.matrix.expansion import Expansion
from runner.rundir import manifest
from runner.rundir.cache_root import cache_root, is_prepared
from runner.rundir.layout import ExperimentDir
from runner.rundir.manifest import Origin as Origin
from runner.slurm_commands import SlurmCommands
from runner.submit import snapshot
from runner.submit.arrays import Arrays, within_limit
from runner.submit.plan import Plan
from runner.submit.run_files import take_back, write_runs
from runner.submit.schedulers import limits, local, slurm


@dataclass(frozen=True)
class Workers:
    """What Slurm is given to call."""

    task: Callable[[tuple[str, ...], int, bool], Callable[[], Any]]  # absolute run directories, side by side, in turn
    prepare: Callable[[str, int], Callable[[], Any]]  # absolute experiment directory, submission → fills the caches


@dataclass(frozen=True)
class Sent:
    """What was sent."""

    jobs: list[str]  # job ids, or the pool's process id
    runs: int
    tasks: int
    waiting: int = 0  # array tasks that the site's limit left for a later submission


def send(
    directory: ExperimentDir,
    expansion: Expansion,
    cluster: Cluster,
    plan: Plan,
    workers: Workers,
    origin: Origin,
    own_code: Mapping[str, Path] | None = None,
) -> Sent:
    """Write the run directories and send the array tasks; call it under `manifest.submit_lock`.

    own_code: the user's files that the runs start, by their name in the copy of the code.

    Runs with the same resources share an array. A token is saved before every sbatch and the job id after it, so that
    an array whose id was not saved is found.
    """
    experiment = expansion.file.experiment
    arrays, waiting = within_limit(plan, experiment, cluster)
    tasks = [task for _, part in arrays for task in part]
    ids = {run_id for task in tasks for run_id in task}
    if not tasks:
        return Sent([], 0, 0, waiting)
    write_runs(directory, expansion, plan, ids, origin)
    number = manifest.next_number(directory)
    directory.submission(number).mkdir(parents=True)
    write_text(directory.experiment_copy(number), expansion.file.source.text)
    kept = directory.cluster_file(number)
    if origin.cluster != "local":
        write_text(kept, origin.cluster, private=has_secrets(cluster, origin.cluster))
        origin = replace(origin, cluster=kept.name)
    code = snapshot.take(directory, experiment.task, Path(origin.folder), own_code)
    array = experiment.array
    packing = {"side_by_side": array.side_by_side, "in_turn": array.in_turn}
    packing["gpus"] = array.of_task(experiment.resources, array.side_by_side).gpus
    write_json(directory.pool_tasks(number), {"tasks": tasks, **packing}, indent=None)
    begun = {"submission": number, "event": "begun", "kind": cluster.kind, "runs": len(ids), "code": code.name}
    if isinstance(cluster, SlurmCluster):
        begun |= {"user": os.getuid(), "commands": cluster.commands}
    manifest.log_submission(directory, begun | vars(origin))
    try:
        if isinstance(cluster, SlurmCluster):
            jobs = _send_slurm(directory, number, arrays, experiment, cluster, workers, code)
        else:
            jobs = _send_local(directory, number, len(tasks), experiment, cluster, code)
    except CommandFailed:
        take_back(directory, number, tasks)
        raise
    return Sent(jobs, len(ids), len(tasks), waiting)


def origin_of(directory: ExperimentDir, sent: manifest.Submission, other_cluster: str | None = None) -> Origin:
    """Where a submission comes from, with the text of its cluster file where no other cluster takes its place.

    Raises CommandFailed where the record is damaged, its folder is gone, or its cluster file may not be read.
    """
    origin = sent.origin
    if origin is None or not os.path.isdir(origin.folder):
        what = f"{directory.submission_log}: the record of submission {sent.number} is damaged"
        if origin:
            what = f"{directory.path} was submitted from {origin.folder}, which is no folder any more"
        raise CommandFailed(what, next_command="runner submit CONFIG")
    kept = directory.cluster_file(sent.number)
    if other_cluster or origin.cluster != kept.name:  # local, or the text of an older version
        return origin
    try:
        return replace(origin, cluster=read_bytes(kept).decode())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        what = f"{kept}: {reason}; who has submitted it may read it alone, where it holds a token"
        raise CommandFailed(what, next_command="the same with --cluster FILE, a cluster file of yours") from None


def settle_orphans(directory: ExperimentDir) -> list[str]:
    """Find arrays whose id was not saved because `runner submit` died after sbatch; what was done with each.

    One whose callables are all in place is taken over; another one could never start and is cancelled, so that its runs
    are sent again. Call it under `manifest.submit_lock`.
    """
    open_chunks = [
        (sent, chunk)
        for sent in manifest.submissions(directory)
        if sent.kind == "slurm"
        for chunk in sent.chunks
        if not chunk.job_id
    ]
    if not open_chunks:
        return []
    commands = SlurmCommands(open_chunks[-1][0].commands)
    elements = slurm.queue(commands, {sent.user for sent, _ in open_chunks})
    settled = []
    for _, chunk in open_chunks:
        for job in {element.job_id for element in elements if element.comment == slurm.comment(chunk.token)}:
            if slurm.is_whole(directory.slurm_logs(chunk.submission), job, chunk.count):
                _log_sent(directory, chunk.submission, chunk.token, job)
                settled.append(f"took over Slurm array {job}, whose id an interrupted submission had not saved")
            else:
                slurm.cancel(commands, [job])
                settled.append(
                    f"cancelled Slurm array {job}, which an interrupted submission had left without its files"
                )
    return settled


def _log_sent(directory: ExperimentDir, number: int, token: str, job: str) -> None:
    manifest.log_submission(directory, {"event": "sent", "submission": number, "token": token, "job_id": job})


def _log_sending(directory: ExperimentDir, number: int, first: int, count: int) -> str:
    """Write down that an array is being sent; its token."""
    token = secrets.token_hex(8)
    sending = {"event": "sending", "submission": number, "token": token, "first": first, "count": count}
    manifest.log_submission(directory, sending)
    return token


def environment(
    cluster: Cluster, resources: Resources, code: Path | None = None, *, internet: bool = False
) -> dict[str, str]:
    """The variables that every worker gets. code: the snapshot that it runs. internet: its node has it."""
    variables = {"RUNNER_CACHE": str(cache_root(cluster.cache)), "RUNNER_SUBMITTED_AT": str(time.time())}
    if code is not None:
        variables["PYTHONPATH"] = os.pathsep.join(p for p in (str(code), os.environ.get("PYTHONPATH", "")) if p)
    if isinstance(cluster, SlurmCluster):
        variables |= SlurmCommands(cluster.commands).as_environment() | {
            "RUNNER_REQUEUE": "1" if cluster.requeue else "0",
            "RUNNER_SIGNAL_DELAY_S": str(cluster.signal_seconds),
            "RUNNER_TIME_LIMIT_S": str(slurm.time_limit_minutes(resources) * 60),
            **({} if internet else {"HF_HUB_OFFLINE": "1"}),
            **({"RUNNER_SCRATCH": cluster.scratch} if cluster.scratch else {}),  # its variables are those of the node
        }
    return variables


def _send_local(
    directory: ExperimentDir, number: int, tasks: int, experiment: Experiment, cluster: Any, code: Path
) -> list[str]:
    array = experiment.array
    count = local.parallel(cluster.max_parallel, experiment.resources.cpus * array.side_by_side, array.max_parallel)
    token = _log_sending(directory, number, 0, tasks)
    variables = worker_environment(cluster, environment(cluster, experiment.resources, code))
    pid = local.start(directory, number, count, variables)
    _log_sent(directory, number, token, pid)
    return [pid]


def _send_slurm(
    directory: ExperimentDir,
    number: int,
    arrays: Arrays,
    experiment: Experiment,
    cluster: SlurmCluster,
    workers: Workers,
    code: Path,
) -> list[str]:
    size = limits.max_array_size(cluster)
    chunks = [
        (resources, tasks[start : start + size]) for resources, tasks in arrays for start in range(0, len(tasks), size)
    ]
    preparing = _send_preparation(directory, number, arrays, experiment, cluster, workers, code)
    jobs: list[str] = []
    first = 0
    for resources, part in chunks:
        variables = environment(cluster, resources, code) | ({"RUNNER_CACHE_READ_ONLY": "1"} if preparing else {})
        token = _log_sending(directory, number, first, len(part))
        params = slurm.parameters(experiment.experiment, token, resources, experiment.array, cluster, variables)
        depends = [f"afterok:{preparing}"] if preparing else []
        if jobs and experiment.array.max_parallel:  # the limit holds over all chunks only when they take turns
            depends.append(f"afterany:{jobs[-1]}")
        if depends:
            params["dependency"] = ",".join(depends)
            params["additional_parameters"]["kill-on-invalid-dep"] = "yes"  # else it waits for ever
        packing = (experiment.array.side_by_side, experiment.array.in_turn > 1)
        runs = directory.runs.absolute()
        callables = [workers.task(tuple(str(runs / run_id) for run_id in task), *packing) for task in part]
        try:
            jobs.append(slurm.send(directory.slurm_logs(number).absolute(), callables, params, cluster))
        except CommandFailed as error:
            raise _in_part(error, jobs, preparing, SlurmCommands(cluster.commands)) from None
        _log_sent(directory, number, token, jobs[-1])
        first += len(part)
    return jobs


def _in_part(error: CommandFailed, jobs: list[str], preparing: str | None, commands: SlurmCommands) -> CommandFailed:
    """The refusal of an array, and what is in the queue although it was refused."""
    if jobs:
        return CommandFailed(f"{error.message}\n    sent before: array {', '.join(jobs)}, whose runs go on")
    if preparing is None:
        return error
    try:
        slurm.cancel(commands, [preparing])
    except CommandFailed:
        return CommandFailed(
            f"{error.message}\n    sent before: job {preparing}, which fills the caches; it does no harm"
        )
    return error


def _send_preparation(
    directory: ExperimentDir,
    number: int,
    arrays: Arrays,
    experiment: Experiment,
    cluster: SlurmCluster,
    workers: Workers,
    code: Path,
) -> str | None:
    """Send the job that fills the caches, where the site wants one and they were not filled before; its id."""
    root = cache_root(cluster.cache)
    run_ids = {run_id for _, tasks in arrays for task in tasks for run_id in task}
    if cluster.prepare is None or is_prepared(root, experiment.experiment, run_ids):
        return None
    work = workers.prepare(str(directory.path.absolute()), number)
    job = send_job(directory, number, "prepare", work, cluster.prepare, cluster, code)
    manifest.log_submission(directory, {"event": "preparing", "submission": number, "job_id": job})
    return job


def send_job(
    directory: ExperimentDir,
    number: int,
    role: str,
    work: Callable[[], Any],
    asked: Preparing | Supervisor,
    cluster: SlurmCluster,
    code: Path | None = None,
    options: dict[str, Any] | None = None,
    further: dict[str, Any] | None = None,
) -> str:
    """Send one job of ours beside the arrays of submission `number`, which prepares or supervises; its id.

    options: of submitit. further: options of sbatch.
    """
    resources = Resources.of_job(asked.time, **asked.model_dump(include={"cpus", "memory", "partition"}))
    variables = environment(cluster, resources, code, internet=isinstance(asked, Preparing) and asked.internet)
    params = slurm.parameters(
        f"{directory.path.name}-{role}", f"{role}-{number}", resources, None, cluster, variables
    ) | (options or {})
    params["additional_parameters"] |= further or {}
    return slurm.send(directory.submission(number).absolute() / role, [work], params, cluster)
