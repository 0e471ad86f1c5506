"""A pool of processes on this machine: started in the background, it works through the array tasks of a submission."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from runner.errors import CommandFailed
from runner.files import content, open_to_append, read_json, read_mapping
from runner.rundir.layout import ExperimentDir
from runner.rundir.processes import is_beating, is_here

START_SECONDS = 30
LARGEST = 1e12  # no process id or Unix time is larger


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
        report = read_json(directory.pool_state(number))
        if isinstance(report, dict) and report.get("pid") == process.pid:
            return str(process.pid)
        if process.poll() is not None:
            break
        time.sleep(0.02)
    process.kill()
    process.wait()
    raise CommandFailed(f"the pool of processes did not start; its log is {log}:\n{_tail(log)}")


def _tail(path: Path) -> str:
    return "\n".join(content(path).decode(errors="replace").splitlines()[-5:])


def report(directory: ExperimentDir, number: int) -> dict[str, Any] | None:
    """What the pool of submission `number` says: {pid, pending, running}; None when it does not live any more.

    A damaged report is none: a living pool writes it anew.
    """
    found = read_mapping(directory.pool_state(number))
    return found if _is_whole(found) and is_beating(found, time.time()) else None


def _is_whole(found: dict[str, Any]) -> bool:
    """Whether every field that is read has its type."""
    numbers = [found.get("pid"), found.get("time"), found.get("interval", 30)]
    lists = [found.get(name, []) for name in ("pending", "running")]
    return all(isinstance(number, (int, float)) and 0 < number < LARGEST for number in numbers) and all(
        isinstance(its, list) and all(isinstance(run_id, str) for run_id in its) for its in lists
    )


def stop(directory: ExperimentDir, number: int) -> bool:
    """Ask the pool of submission `number` to stop its runs and end; False when it does not live here."""
    found = report(directory, number)
    if found is None or not is_here(found):
        return False
    os.kill(int(found["pid"]), signal.SIGTERM)
    return True
