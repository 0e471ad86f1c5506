"""Which runs share an array task, which tasks an array, and how many of them the site takes at once."""

from __future__ import annotations

from collections.abc import Sequence

from runner.config.cluster import Cluster, SlurmCluster
from runner.config.experiment import Array, Experiment, Resources
from runner.config.quantities import human_seconds
from runner.matrix.expansion import Run
from runner.slurm_commands import SlurmCommands
from runner.submit.plan import Plan
from runner.submit.schedulers import limits, slurm

WHOLE_MEMORY = (
    "resources.memory is not set, and this site has no default: each array task gets all memory of a node, "
    "so only one runs on it; write `resources: {memory: 8G}`"
)
HELPERS = 2  # jobs beside the arrays, for which a site's limit must leave room


Arrays = list[tuple[Resources, list[list[str]]]]  # what an array task asks for, and the tasks of that class


def array_tasks(runs: Sequence[Run], array: Array) -> list[list[str]]:
    """The run ids of each array task, in the order in which they start."""
    ids, size = [run.run_id for run in runs], array.side_by_side * array.in_turn
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def _arrays(plan: Plan, experiment: Experiment) -> Arrays:
    """The array tasks of each resource class."""
    arrays, classes = [], dict[Resources, list[Run]]()
    for run in plan.send:
        classes.setdefault(plan.retry_plans[run.run_id].resources, []).append(run)
    for needed, runs in classes.items():
        tasks = array_tasks(runs, experiment.array)
        asked = experiment.array.of_task(needed, max(map(len, tasks)))
        if asked.time and plan.limits.seconds:  # fewer runs start in a task, and the rest is sent again
            asked = asked.model_copy(update={"time": min(asked.time, plan.limits.seconds)})
        arrays.append((asked, tasks))
    return arrays


def within_limit(plan: Plan, experiment: Experiment, cluster: Cluster) -> tuple[Arrays, int]:
    """As many array tasks of `plan` as the site takes at once, and how many have to wait for a later submission.

    The jobs beside them that prepare and supervise find room too.
    """
    arrays = _arrays(plan, experiment)
    if not isinstance(cluster, SlurmCluster) or (most := limits.max_submit_jobs(cluster)) is None:
        return arrays, 0
    left = max(0, most - len(slurm.queue(SlurmCommands(cluster.commands))))
    left = max(min(left, 1), left - HELPERS)
    kept: Arrays = []
    waiting = 0
    for resources, tasks in arrays:
        kept += [(resources, tasks[:left])] if tasks[:left] else []
        waiting += len(tasks[left:])
        left -= len(tasks[:left])
    return kept, waiting


def warnings(cluster: SlurmCluster, resources: Resources) -> list[str]:
    """What is allowed, and seldom meant. resources: of an array task."""
    lines = [f"warning: {WHOLE_MEMORY}"] if limits.takes_whole_memory(resources, cluster) else []
    limit = slurm.time_limit_minutes(resources) * 60
    if limit and 2 * cluster.signal_seconds >= limit:
        lines.append(
            f"warning: signal_seconds is {cluster.signal_seconds} of a time limit of {human_seconds(limit)}: each run "
            f"is asked to stop at most {max(0, limit - cluster.signal_seconds)} s after its start"
        )
    return lines
