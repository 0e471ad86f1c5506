"""A pool of processes on this machine: started in the background, it works through the array tasks of a submission."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from runner.errors import CommandFailed
from runner.files import content, open_to_append
from runner.rundir.layout import ExperimentDir
from runner.rundir.processes import PoolState

START_SECONDS = 30


def parallel(limit: int | None, cpus: int, asked: int | None) -> int:
    """How many array tasks of `cpus` run at once: the machine's limit, else as its cores allow; fewer if asked."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most = limit or max(1, cores // cpus)
    return min(most, asked or most)


def start(directory: ExperimentDir, number: int, max_parallel: int, environment: dict[str, str]) -> str:
    """Start the pool of submission `number` in a session of its own; its process id.

    Raises CommandFailed when it does not report within half a minute.
    """
    log = directory.pool_log(number)
    with open_to_append(log) as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-u",
                "-m",
                "jobs.node.pool",
                str(directory.path),
                str(number),
                "--max-parallel",
                str(max_parallel),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        state = PoolState.read(directory.pool_state(number))
        if state is not None and state.pid == process.pid:
            return str(process.pid)
        if process.poll() is not None:
            break
        time.sleep(0.02)
    process.kill()
    process.wait()
    last = "\n".join(content(log).decode(errors="replace").splitlines()[-5:])
    raise CommandFailed(f"the pool of processes did not start; its log is {log}:\n{last}")


def report(directory: ExperimentDir, number: int) -> PoolState | None:
    """What the pool of submission `number` has to do; None when it does not live any more.

    A damaged report is none: a living pool writes it anew.
    """
    state = PoolState.read(directory.pool_state(number))
    return state if state is not None and state.is_beating(time.time()) else None


def stop(directory: ExperimentDir, number: int) -> bool:
    """Ask the pool of submission `number` to stop its runs and end; False when it does not live here."""
    state = report(directory, number)
    if state is None or not state.is_here or state.pid is None:
        return False
    os.kill(state.pid, signal.SIGTERM)
    return True
