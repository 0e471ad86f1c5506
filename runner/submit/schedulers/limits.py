"""What a Slurm site allows, as far as it tells: how long and how large a job may be, how many array tasks at once."""

from __future__ import annotations

import getpass
import os
import re
from itertools import chain

from runner.config.cluster import SlurmCluster
from runner.config.experiment import Resources
from runner.config.quantities import human_seconds, seconds
from runner.errors import CommandFailed, Problem, UserError, nearest
from runner.slurm_commands import SlurmCommands, choices
from runner.submit.plan import Limits
from runner.submit.schedulers.slurm import given

DEFAULT_MAX_ARRAY_SIZE = 1001  # Slurm's own


def max_array_size(cluster: SlurmCluster) -> int:
    """How many array tasks one array may have, from the site file or else from Slurm itself."""
    if cluster.max_array_size:
        return cluster.max_array_size
    return int(SlurmCommands(cluster.commands).setting("MaxArraySize") or DEFAULT_MAX_ARRAY_SIZE)


def max_submit_jobs(cluster: SlurmCluster) -> int | None:
    """How many array tasks this user may have in the queue, from the site file or else from the accounting.

    None where there is no limit, or no accounting that could tell one.
    """
    if cluster.max_submit_jobs:
        return cluster.max_submit_jobs
    if "limits" not in SlurmCommands(cluster.commands).setting("AccountingStorageEnforce"):
        return None
    try:
        return _from_accounting(cluster)
    except (CommandFailed, UserError):  # no sacctmgr here, or no database behind it: sbatch will say what it refuses
        return None


def _from_accounting(cluster: SlurmCluster) -> int | None:
    fields = "defaultaccount,account,partition,maxsubmit,defaultqos"
    commands = SlurmCommands(cluster.commands)
    shell = choices(os.environ, given(cluster, Resources()))
    own = {key: getattr(cluster, key) or shell.get(key) for key in ("account", "partition", "qos")}
    limits = []
    for default, account, partition, most, usual_qos in _table(
        commands, "show", "user", "withassoc", f"name={getpass.getuser()}", f"format={fields}"
    ):
        if account == (own["account"] or default) and partition in ("", own["partition"]):
            limits.append(most)
            if qos := own["qos"] or usual_qos:
                limits += chain(*_table(commands, "show", "qos", f"name={qos}", "format=maxsubmitpu,maxsubmitpa"))
    return min((int(most) for most in limits if most.isdigit()), default=None)


def _table(commands: SlurmCommands, *words: str) -> list[list[str]]:
    output = commands.call("sacctmgr", "--noheader", "--parsable2", "--readonly", *words)
    return [line.split("|") for line in output.splitlines() if line]


def limits(resources: Resources, cluster: SlurmCluster) -> Limits:
    """The longest time and the most memory that the partition, or one of several, allows a job; as far as Slurm tells.

    Raises UserError where Slurm has no such partition.
    """
    records = SlurmCommands(cluster.commands).records("partition")
    partitions = {facts.get("PartitionName", ""): facts for facts in records}
    wanted = _partition(resources, cluster)
    names = wanted.split(",") if wanted else [n for n, facts in partitions.items() if facts.get("Default") == "YES"]
    if unknown := [name for name in names if name not in partitions]:
        what, known = f"Slurm has no partition {unknown[0]!r}", ", ".join(partitions) or "none"
        raise UserError(str(Problem(what, allowed=known, nearest=nearest(unknown[0], partitions))))
    times = [partitions[name].get("MaxTime", "UNLIMITED") for name in names]
    memories = [partitions[name].get("MaxMemPerNode", "UNLIMITED") for name in names]
    timed = times and not {"UNLIMITED", "INFINITE"} & set(times)
    bounded = memories and all(memory.isdigit() for memory in memories)
    return Limits(
        seconds=max(seconds(time) for time in times) if timed else None,
        mebibytes=max(int(memory) for memory in memories) if bounded else None,
        cpus=_most_cpus(set(names), cluster),
    )


def _most_cpus(partitions: set[str], cluster: SlurmCluster) -> int | None:
    """The CPUs of the largest node of `partitions`; None where Slurm shows none."""
    nodes = SlurmCommands(cluster.commands).records("node")
    inside = [facts for facts in nodes if partitions & set(facts.get("Partitions", "").split(","))]
    return max((int(facts["CPUTot"]) for facts in inside if facts.get("CPUTot", "").isdigit()), default=None)


def _partition(resources: Resources, cluster: SlurmCluster) -> str | None:
    """What the files ask for, else the shell."""
    return resources.partition or cluster.partition or choices(os.environ, given(cluster, resources)).get("partition")


def beyond(limits: Limits, resources: Resources, side_by_side: int, cluster: SlurmCluster) -> dict[str, str]:
    """Key of `resources` → what is wrong where an array task asks for more than `limits`: it would wait for ever.

    resources: of one run.
    """
    where = f"partition {_partition(resources, cluster) or '(the default)'}"
    times = f" × {side_by_side} (array.side_by_side)" if side_by_side > 1 else ""
    asked_time, memory, mistakes = resources.time or 0, resources.memory or 0, {}
    if limits.seconds is not None and asked_time > limits.seconds:
        asked, allowed = human_seconds(asked_time), human_seconds(limits.seconds)
        mistakes["time"] = f"found {asked}, and {where} allows {allowed}"
    if limits.mebibytes is not None and memory * side_by_side > limits.mebibytes:
        mistakes["memory"] = f"found {memory} MiB{times}, and {where} allows {limits.mebibytes} MiB a node"
    times += f" × {resources.tasks_per_node} (tasks_per_node)" if resources.tasks_per_node > 1 else ""
    if limits.cpus is not None and resources.cpus * resources.tasks_per_node * side_by_side > limits.cpus:
        mistakes["cpus"] = f"found {resources.cpus}{times}, and the largest node of {where} has {limits.cpus}"
    return mistakes


def takes_whole_memory(resources: Resources, cluster: SlurmCluster) -> bool:
    """Whether a job gets all memory of its node, since neither the files nor the site say how much it needs."""
    if resources.memory is not None or {"mem-per-cpu", "mem-per-gpu"} & set(cluster.sbatch):
        return False
    commands, names = SlurmCommands(cluster.commands), _partition(resources, cluster)
    chosen = [f"PartitionName={name} " for name in names.split(",")] if names else ["Default=YES"]
    try:
        config = commands.call("scontrol", "show", "config").splitlines()
        partitions = commands.call("scontrol", "--oneliner", "show", "partition").splitlines()
    except CommandFailed:
        return False  # it does not tell
    shown = [line for line in config if line.startswith("DefMem")]
    shown += [line for line in partitions if any(words in line for words in chosen)]
    return not any(re.search(r"\bDefMemPer(?:CPU|GPU|Node)\s*=\s*\d", line) for line in shown)
