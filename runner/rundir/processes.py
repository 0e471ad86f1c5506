"""Whether the process that a file names is alive: the only place that judges it."""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from runner.record import JobId, Record

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


@dataclass(frozen=True)
class Process(Record):
    """A process that a file names, so that others can tell whether it is alive."""

    host: str | None = None
    machine: str | None = None
    pid: int | None = None
    start_time: str | None = None

    @classmethod
    def this(cls, **fields: Any) -> Self:
        """This process. fields: the others of the record."""
        pid = os.getpid()
        return cls(host=host_name(), machine=machine(), pid=pid, start_time=start_time(pid), **fields)

    @property
    def is_here(self) -> bool:
        """Whether it is, or was, one of this machine."""
        return self.machine == machine()

    def is_alive(self, silent: float = 0.0, patience: float = -1.0) -> bool:
        """Whether it is alive. Of this machine the list of processes knows it for certain.

        silent: seconds since its last sign of life. patience: after so many one on another machine counts as dead.
        """
        if not self.is_here:
            return silent <= patience
        return self.pid is not None and self.start_time is not None and start_time(self.pid) == self.start_time


@dataclass(frozen=True)
class Beating(Process):
    """A process that writes its record anew every `interval` seconds, until it is `ended`."""

    time: float = 0.0  # Unix seconds
    interval: float = HEARTBEAT_SECONDS
    ended: bool = False

    def is_beating(self, now: float) -> bool:
        """Whether it is alive at `now`, in Unix seconds."""
        patience = STALE_INTERVALS * (self.interval or HEARTBEAT_SECONDS)
        return not self.ended and self.is_alive(now - self.time, patience)


@dataclass(frozen=True)
class PoolState(Beating):
    """pool.json: what the local pool of a submission has to do."""

    pending: list[str] = field(default_factory=list)  # run ids
    running: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Heartbeat(Beating):
    """heartbeat.json: the sign of life of a running attempt."""

    parent_pid: int | None = None
    job_id: JobId | None = None
    array_task_id: int | None = None
    attempt: int | None = None
    memory_limit_bytes: int | None = None
    peak_memory_bytes: int | None = None
    epoch: int | None = None  # the last one recorded
    epochs: int | None = None  # planned
    metric: str | None = None  # that is followed
    value: float | None = None  # of the metric
    health: str | None = None  # ok, warning or blocking
