"""Whether the process that a file names is alive: the only place that judges it."""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.files import as_number

HEARTBEAT_SECONDS = 30.0  # between two signs of life, where their file does not say it
STALE_INTERVALS = 3  # so many missed ones mean that a process on another machine is dead


@functools.cache
def machine() -> str:
    """This machine since it was started, and its process numbering: pids of equal machines can be compared.

    Two containers on one machine number their processes apart, and a host name says neither this nor a reboot.
    """
    if sys.platform == "linux":
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    boot = subprocess.run(["sysctl", "-n", "kern.boottime"], capture_output=True, text=True, check=False).stdout
    return f"{socket.gethostname()}/{boot.strip()}"


def host_name() -> str:
    """This machine as Slurm calls it, else as it calls itself."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def start_time(pid: int) -> str | None:
    """When process `pid` of this machine started, in a form only to be compared; None: it is dead or a zombie."""
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        state, *rest = stat.rpartition(")")[2].split()
        return None if state in "ZX" else rest[18]  # clock ticks since the machine was started
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return None if not shown or shown.startswith("Z") else shown.split(maxsplit=1)[1]


def this_process() -> dict[str, Any]:
    """What a file says of the process that writes it, so that others can tell whether it is alive."""
    pid = os.getpid()
    return {"host": host_name(), "machine": machine(), "pid": pid, "start_time": start_time(pid)}


def is_here(record: Mapping[str, Any]) -> bool:
    """Whether the process of `record` is, or was, one of this machine."""
    return record.get("machine") == machine()


def is_alive(record: Mapping[str, Any], silent: float, patience: float) -> bool:
    """Whether the process of `record` is alive. Of this machine the list of processes knows it for certain.

    silent: seconds since its last sign of life. patience: after so many one on another machine counts as dead.
    """
    if not is_here(record):
        return silent <= patience
    pid, started = record.get("pid"), record.get("start_time")
    return isinstance(pid, int) and started is not None and start_time(pid) == started


def is_beating(record: Mapping[str, Any], now: float) -> bool:
    """The same of a record that its process renews every `interval` seconds, until it is `ended`. now: Unix seconds."""
    if not record or record.get("ended"):
        return False
    interval = as_number(record.get("interval")) or HEARTBEAT_SECONDS
    return is_alive(record, now - (as_number(record.get("time")) or 0), STALE_INTERVALS * interval)
