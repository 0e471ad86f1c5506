"""How much memory the processes of this job may use, and whether the kernel has ended one for using more."""

from __future__ import annotations

import os
import re
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

NEAR = 0.9  # of the limit: the last sample before a kill is seldom exactly at it
_UNLIMITED = 1 << 60  # cgroup v1 writes a number above this for "no limit"
MIB = 1 << 20
_CGROUPS = Path("/sys/fs/cgroup")
_OURS = Path("/proc/self/cgroup")  # which cgroups this process is in


def limit_bytes(environ: Mapping[str, str], cgroups: Path = _CGROUPS, ours: Path = _OURS) -> int | None:
    """The smallest limit that Slurm or a cgroup sets; None: there is none."""
    limits = []
    if environ.get("SLURM_MEM_PER_NODE", "0").isdecimal() and int(environ.get("SLURM_MEM_PER_NODE", "0")):
        limits.append(int(environ["SLURM_MEM_PER_NODE"]) * MIB)
    elif environ.get("SLURM_MEM_PER_CPU", "").isdecimal() and environ.get("SLURM_CPUS_ON_NODE", "").isdecimal():
        limits.append(int(environ["SLURM_MEM_PER_CPU"]) * int(environ["SLURM_CPUS_ON_NODE"]) * MIB)
    names = ("memory.max", "memory.limit_in_bytes")
    texts = [kernel_text(folder / name).strip() for folder in _folders(cgroups, ours) for name in names]
    limits += [int(text) for text in texts if text.isdecimal() and int(text) < _UNLIMITED]
    return min((limit for limit in limits if limit), default=None)


def peak_of(usage: resource.struct_rusage) -> int:
    """Bytes that the process of `usage` had resident at most; of a process and its children: of the largest one."""
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def peak_bytes() -> int:
    """Bytes that this process and the largest one that it has started had at most."""
    return sum(peak_of(resource.getrusage(who)) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def oom_kills(cgroups: Path = _CGROUPS, ours: Path = _OURS) -> int:
    """How many processes of our cgroup the kernel has killed for memory so far; 0 where it does not say."""
    names = ("memory.events", "memory.oom_control")
    texts = (kernel_text(folder / name) for folder in _folders(cgroups, ours)[:1] for name in names)
    counts = (re.search(r"^oom_kill (\d+)$", text, re.MULTILINE) for text in texts)
    return next((int(count[1]) for count in counts if count), 0)


def resident_bytes(pid: int) -> int:
    """Memory that process `pid` has resident now; 0 when it is gone or the system does not say."""
    fields = kernel_text(Path(f"/proc/{pid}/statm")).split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if fields else 0


def evidence(peak: int, others: int, limit: int | None, kills: int) -> str | None:
    """What shows that a killed process was killed for its memory; None when nothing does.

    peak: bytes it had at most. others: bytes of the runs beside it, under the same limit. kills: by the kernel since
    the process started.
    """
    if kills:
        return "the kernel's out-of-memory killer has ended a process of this job"
    if limit is not None and peak + others >= NEAR * limit:
        return f"peak {peak / MIB:.0f} MiB (and {others / MIB:.0f} MiB beside it) of {limit / MIB:.0f} MiB allowed"
    return None


def _folders(cgroups: Path, ours: Path) -> list[Path]:
    """Our memory cgroup and those around it, the innermost first."""
    for line in kernel_text(ours).splitlines():
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            root = cgroups / "memory"
        elif number == "0" and not (cgroups / "memory").is_dir():
            root = cgroups
        else:
            continue
        inner = root / path.lstrip("/")
        around = [folder for folder in inner.parents if folder.is_relative_to(root)]
        return [folder for folder in (inner, *around) if folder.is_dir()]
    return []


def kernel_text(path: Path) -> str:
    """The content of a file of the kernel; empty where this system has no such file."""
    try:
        return path.read_text()
    except OSError:
        return ""
