"""From runs to array tasks: what to send, the files written before, and sending it."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from runner import manifest
from runner.cluster import Cluster, SlurmCluster
from runner.expansion import Expansion, Run
from runner.experiment import Experiment, Resources
from runner.files import write_json, write_text
from runner.layout import ExperimentDir
from runner.queue import Queue, look
from runner.schedulers import local, slurm
from runner.states import RunState, run_state

RETRIED = ("out_of_memory", "gpu_out_of_memory", "timeout", "preempted", "node_failure", "killed")


@dataclass(frozen=True)
class Plan:
    """What a submission would send, and why it leaves the rest."""

    send: list[Run]
    states: dict[str, RunState]  # run id → state before
    completed: list[Run] = field(default_factory=list)
    under_way: list[Run] = field(default_factory=list)
    held_back: list[Run] = field(default_factory=list)  # failed or cancelled; need a person, or --force
    queue: Queue = field(default_factory=Queue)


def plan(directory: ExperimentDir, runs: Sequence[Run], experiment: Experiment, force: bool = False) -> Plan:
    """Sort `runs` by what is to be done with them: new and lost ones are sent, failed ones where the policy retries."""
    files_only = {run.run_id: run_state(directory.run(run.run_id)) for run in runs}
    queue = look(directory, {run_id for run_id, state in files_only.items() if state.state != "completed"})
    result = Plan([], {}, queue=queue)
    for run in runs:
        state = files_only[run.run_id]
        if state.state != "completed" and run.run_id in queue.places:
            state = run_state(directory.run(run.run_id), queue.places[run.run_id])
        result.states[run.run_id] = state
        if state.state == "completed":
            result.completed.append(run)
        elif state.state in ("running", "queued"):
            result.under_way.append(run)
        elif force or _may_send(state, experiment):
            result.send.append(run)
        else:
            result.held_back.append(run)
    return result


def _may_send(state: RunState, experiment: Experiment) -> bool:
    if state.state == "new":
        return True
    if state.state == "cancelled":
        return False
    return (state.state == "lost" or state.kind in RETRIED) and state.attempt < experiment.retry.max_attempts


def array_tasks(runs: Sequence[Run], runs_per_task: int) -> list[list[str]]:
    """The run ids of each array task."""
    ids = [run.run_id for run in runs]
    return [ids[start : start + runs_per_task] for start in range(0, len(ids), runs_per_task)]


ArrayTask = Callable[[tuple[str, ...]], Callable[[], Any]]  # absolute run directories → what Slurm's worker calls


@dataclass(frozen=True)
class Sent:
    """What was sent."""

    number: int
    jobs: list[str]  # job ids, or the pool's process id
    tasks: int
    waiting: int = 0  # array tasks that the site's limit left for a later submission


def send(
    directory: ExperimentDir, expansion: Expansion, cluster: Cluster, to_send: Sequence[Run], make_task: ArrayTask
) -> Sent:
    """Write the run directories and send the array tasks; call it under `manifest.submit_lock`.

    A token is saved before every sbatch and the job id after it, so that an array whose id was not saved is found.
    """
    experiment = expansion.file.experiment
    for run in to_send:
        write_run(directory, expansion, run)
    number = manifest.next_number(directory)
    folder = directory.submission(number)
    folder.mkdir(parents=True)
    shutil.copyfile(expansion.file.path, folder / "experiment.yaml")
    tasks = array_tasks(to_send, experiment.array.runs_per_task)
    waiting = 0
    if isinstance(cluster, SlurmCluster) and cluster.max_submit_jobs:
        tasks, waiting = tasks[: cluster.max_submit_jobs], max(0, len(tasks) - cluster.max_submit_jobs)
    write_json(folder / "tasks.json", {"tasks": tasks}, indent=None)
    begun = {"submission": number, "event": "begun", "kind": cluster.kind, "runs": len(to_send)}
    manifest.log_submission(directory, begun)
    if isinstance(cluster, SlurmCluster):
        jobs = _send_slurm(directory, number, tasks, experiment, cluster, make_task)
    else:
        jobs = _send_local(directory, number, len(tasks), experiment, cluster)
    return Sent(number, jobs, len(tasks), waiting)


def _environment(cluster: Cluster, resources: Resources) -> dict[str, str]:
    """What every worker is told through its environment."""
    cache = cluster.cache or os.environ.get("RUNNER_CACHE")
    told = {"RUNNER_CACHE": str(Path(cache).expanduser().absolute())} if cache else {}
    told["RUNNER_SUBMITTED_AT"] = str(time.time())
    if isinstance(cluster, SlurmCluster):
        told["HF_HUB_OFFLINE"] = "1"  # compute nodes have no internet
        told["RUNNER_REQUEUE"] = "1" if cluster.requeue else "0"
        told["RUNNER_SIGNAL_DELAY_S"] = str(cluster.signal_seconds)
        told["RUNNER_TIME_LIMIT_S"] = str(slurm.time_limit_minutes(resources) * 60)
    return told


def _send_local(directory: ExperimentDir, number: int, tasks: int, experiment: Experiment, cluster: Any) -> list[str]:
    array = experiment.array
    count = local.parallel(cluster.max_parallel, experiment.resources.cpus, array.runs_per_task, array.max_parallel)
    token = secrets.token_hex(8)
    chunk = {"submission": number, "token": token, "first": 0, "count": tasks}
    manifest.log_submission(directory, {"event": "sending", **chunk})
    pid = local.start(directory, number, count, _environment(cluster, experiment.resources) | cluster.environment)
    manifest.log_submission(directory, {"event": "sent", "submission": number, "token": token, "job_id": pid})
    return [pid]


def _send_slurm(
    directory: ExperimentDir,
    number: int,
    tasks: list[list[str]],
    experiment: Experiment,
    cluster: SlurmCluster,
    make_task: ArrayTask,
) -> list[str]:
    size = slurm.max_array_size(cluster)
    jobs: list[str] = []
    for first in range(0, len(tasks), size):
        part = tasks[first : first + size]
        token = secrets.token_hex(8)
        params = slurm.parameters(
            experiment.experiment,
            token,
            experiment.resources,
            experiment.array,
            cluster,
            _environment(cluster, experiment.resources),
        )
        if jobs and experiment.array.max_parallel:  # the limit holds over all chunks only when they take turns
            params["dependency"] = f"afterany:{jobs[-1]}"
        manifest.log_submission(
            directory, {"event": "sending", "submission": number, "token": token, "first": first, "count": len(part)}
        )
        runs = directory.path.absolute() / directory.runs.name
        callables = [make_task(tuple(str(runs / run_id) for run_id in task)) for task in part]
        logs = directory.submission(number).absolute() / "slurm"
        job_id = slurm.send(logs, callables, params, cluster.python)
        manifest.log_submission(directory, {"event": "sent", "submission": number, "token": token, "job_id": job_id})
        jobs.append(job_id)
    return jobs


def run_config(expansion: Expansion, run: Run) -> dict[str, Any]:
    """The content of a run's config.yaml."""
    experiment = expansion.file.experiment
    return {
        "experiment": experiment.experiment,
        "run_id": run.run_id,
        "variant": run.variant,
        "seed": run.seed,
        "axes": run.axes,
        "task": experiment.task,
        "threads": experiment.resources.cpus,
        "gpus": experiment.resources.gpus,
        "keep": experiment.keep.model_dump(),
        "retry": {"max_attempts": experiment.retry.max_attempts},
        "stop_after_same_error": experiment.stop_after_same_error,
        "code_path": str(Path.cwd()),
        "params": run.params,
    }


def write_run(directory: ExperimentDir, expansion: Expansion, run: Run) -> None:
    """Make the directory of one run with its config.yaml."""
    target = directory.run(run.run_id)
    target.path.mkdir(parents=True, exist_ok=True)
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # five times as fast, where libyaml is there
    text = yaml.dump(run_config(expansion, run), Dumper=_without_aliases(dumper), sort_keys=False, allow_unicode=True)
    write_text(target.config, text)
    target.cancelled.unlink(missing_ok=True)


def _without_aliases(dumper: Any) -> Any:
    """Equal parts are written out; anchors would puzzle readers."""
    return type("Dumper", (dumper,), {"ignore_aliases": lambda self, data: True})
