"""`runner doctor`: whether a site can run our arrays, checked in about a minute with one small job."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jobs.node.probe import Probe
from runner.config.cluster import SlurmCluster
from runner.config.experiment import Resources
from runner.config.quantities import human_seconds
from runner.errors import CommandFailed, UserError
from runner.files import read_json
from runner.rundir.cache_root import cache_root
from runner.slurm_commands import SlurmCommands, from_the_shell
from runner.submit.arrays import WHOLE_MEMORY
from runner.submit.schedulers import limits, slurm
from runner.submit.submission import environment

START_SECONDS = 120  # in a queue that is longer, the checks of the compute node are left out, and named
SEE_SECONDS = 30  # for a file written on a node to be seen here
LIMIT_SECONDS = 120  # of the test job
# The warning is asked for so long before that limit. Slurm looks every 30 s, and gives it up to 30 s early: it comes 15
# to 45 s after the start, when Python is there to hear it.
WARNING_SECONDS = 75
SIGNAL_SECONDS = 75  # for the warning to come, and for its file to be seen here


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    what: str
    good: bool | None  # None: worth knowing, nothing wrong
    detail: str


def examine(cluster: SlurmCluster, gpus: int, folder: Path) -> Iterator[Finding]:
    """Look at the commands, the limits and the accounting; then send one job and look at what it saw."""
    commands = SlurmCommands(cluster.commands)
    missing = commands.missing()
    yield Finding("Slurm's commands", not missing, f"missing: {', '.join(missing)}" if missing else "all here")
    if missing:
        return
    resources = Resources.of_job(LIMIT_SECONDS, gpus=gpus, memory=2048)
    if kept := from_the_shell(os.environ, slurm.given(cluster, resources)):
        yield Finding("your shell", None, f"Slurm's commands get {', '.join(kept)}")
    yield from _limits(cluster, resources)
    yield _accounting(commands)
    yield from _node(cluster, resources, folder)


def _limits(cluster: SlurmCluster, resources: Resources) -> Iterator[Finding]:
    try:
        size, limit = limits.max_array_size(cluster), limits.limits(resources, cluster)
        most = limits.max_submit_jobs(cluster)
        waiting = len(slurm.queue(SlurmCommands(cluster.commands)))
    except CommandFailed as error:
        yield Finding("slurmctld", False, error.message)
        return
    except UserError as error:
        yield Finding("partition", False, "; ".join(line.strip() for line in error.message.splitlines()))
        return
    yield Finding("slurmctld", True, f"answers; {waiting} array tasks of yours in the queue")
    if limits.takes_whole_memory(Resources(), cluster):
        yield Finding("memory", None, f"where {WHOLE_MEMORY}")
    longest = human_seconds(limit.seconds) if limit.seconds else "no limit"
    at_once = f"{most:,} at once" if most else "no limit known at once"
    yield Finding("limits", None, f"arrays of up to {size:,} tasks, {at_once}; longest run {longest}")


def _accounting(commands: SlurmCommands) -> Finding:
    if shutil.which(commands.path("sacct")) is None:
        return Finding("accounting", None, "no sacct; nothing here needs it")
    done = commands.run("sacct", "-n", "-X", "-S", "now-1hour", timeout=60)
    return Finding("accounting", None, "sacct works" if done.returncode == 0 else "sacct fails; nothing here needs it")


def _node(cluster: SlurmCluster, resources: Resources, folder: Path) -> Iterator[Finding]:
    commands = SlurmCommands(cluster.commands)
    folder = folder.absolute() / f"doctor-{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    probe = Probe(str(folder), str(cache_root(cluster.cache)), resources.gpus > 0, LIMIT_SECONDS)
    params = slurm.parameters("runner-doctor", "doctor", resources, None, cluster, environment(cluster, resources))
    params["signal_delay_s"] = WARNING_SECONDS
    try:
        job = slurm.send(folder / "slurm", [probe], params, cluster)
    except CommandFailed as error:
        yield Finding("a job", False, error.message)
        return
    try:
        yield from _job(commands, job, folder, resources)
    finally:
        slurm.cancel(commands, [job])
        shutil.rmtree(folder, ignore_errors=True)


def _job(commands: SlurmCommands, job: str, folder: Path, resources: Resources) -> Iterator[Finding]:
    began = time.monotonic()
    if not _await(lambda: _state(commands, job) not in slurm.PENDING, START_SECONDS):
        reason = next((e.reason for e in slurm.queue(commands) if e.job_id == job), "")
        yield Finding("a job", None, f"still waits after {START_SECONDS} s ({reason}); the node was not examined")
        return
    yield Finding("a job", True, f"job {job} started after {time.monotonic() - began:.0f} s")
    seen: dict[str, Any] | None = _await(lambda: read_json(folder / "seen.json"), SEE_SECONDS)
    if seen is None:
        logs = "; ".join(path.read_text(errors="replace")[-300:] for path in (folder / "slurm").glob("*.out"))
        yield Finding("shared file system", False, f"what the job wrote to {folder} is not seen here. {logs}".strip())
        return
    yield Finding("shared file system", True, f"written on {seen['host']}, seen here; Python {seen['python']} there")
    lacking = [name for name, installed in seen["packages"].items() if not installed and find_spec(name)]
    yield Finding("packages", not lacking, f"missing there: {', '.join(lacking)}" if lacking else "found there")
    yield Finding(
        "cache", seen["cache"] in ("yes", "read-only"), {"yes": "writable there"}.get(seen["cache"], seen["cache"])
    )
    if resources.gpus:
        yield Finding("GPU", not seen["gpu"].startswith("none"), seen["gpu"])
    yield _warning(commands, job, folder)


def _warning(commands: SlurmCommands, job: str, folder: Path) -> Finding:
    """Whether Slurm's own signal comes before the time limit, and leaves a run the time for its checkpoint."""
    signal = folder / "signal.json"
    heard = _await(lambda: read_json(signal) or (_state(commands, job) == "GONE" and "gone"), SIGNAL_SECONDS)
    if heard == "gone":
        heard = _await(lambda: read_json(signal), 5)  # a shared file system takes its time
    if not heard:
        lost = "a run would be killed at its time limit, and lose what it did since its last checkpoint"
        return Finding("warning signal", False, f"did not come, or ended the job at once: {lost}")
    early = LIMIT_SECONDS - float(heard["seconds_after_start"])
    return Finding(
        "warning signal", True, f"came {early:.0f} s before the time limit, as a run needs for its checkpoint"
    )


def _state(commands: SlurmCommands, job: str) -> str:
    return next((element.state for element in slurm.queue(commands) if element.job_id == job), "GONE")


def _await(look: Callable[[], Any], seconds: float) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if answer := look():
            return answer
        time.sleep(1.0)
    return None
