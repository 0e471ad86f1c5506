"""Telling a process of this machine from another that has, or had, the same number."""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import sys
from pathlib import Path


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


def is_alive(pid: object, started: object) -> bool:
    """Is process `pid`, which started at `started`, still there?"""
    return isinstance(pid, int) and started is not None and start_time(pid) == started
