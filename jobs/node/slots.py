"""The parts of an allocation that runs side by side use: each has its own GPUs and cores.

What the parent itself may use is divided, whether Slurm, the pool or nothing limits it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jobs.node.memory import kernel_text

_CORES = Path("/sys/devices/system/cpu")


def visible_gpus(environ: Mapping[str, str]) -> list[str]:
    """The GPUs that may be used: CUDA_VISIBLE_DEVICES (numbers, UUIDs, MIG ids), else what nvidia-smi counts."""
    if "CUDA_VISIBLE_DEVICES" in environ:
        return [name for name in environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=60)
    return [str(i) for i, line in enumerate(line for line in listed.stdout.splitlines() if line.startswith("GPU"))]


def own_cores(environ: Mapping[str, str]) -> list[int]:
    """The cores that are this process's alone, the threads of one core together; none where that is not known.

    A site that does not bind jobs to cores lets each of them see all cores of the node, those of other jobs too.
    """
    if not hasattr(os, "sched_getaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0), key=_place)
    given = environ.get("SLURM_CPUS_ON_NODE", str(len(cores)) if "SLURM_JOB_ID" not in environ else "0")
    return cores if given.isdecimal() and len(cores) <= int(given) else []


def _place(core: int, cores: Path = _CORES) -> tuple[int, int]:
    """The first thread of the same core, then the thread itself."""
    first = re.match(r"\d+", kernel_text(cores / f"cpu{core}" / "topology" / "thread_siblings_list"))
    return int(first[0]) if first else core, core


@contextmanager
def bound_to(cores: Sequence[int]) -> Iterator[None]:
    """What is started inside the block runs on `cores`; none: where this process runs."""
    before = os.sched_getaffinity(0) if cores else set()
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        if before:
            os.sched_setaffinity(0, before)


@dataclass(frozen=True)
class Slot:
    """The place of one run among `count` side by side."""

    number: int = 0
    count: int = 1
    all_cores: Sequence[int] = ()

    @property
    def cores(self) -> Sequence[int]:
        """An equal share of the cores; none, so that all are used, where there are too few."""
        share = len(self.all_cores) // self.count
        return self.all_cores[self.number * share : (self.number + 1) * share]

    def environment(self, environ: Mapping[str, str], wanted: int) -> dict[str, str]:
        """Which GPUs a run that asks for `wanted` may see: its own, or evenly shared ones where there are too few.

        A run that is alone sees all.
        """
        gpus = visible_gpus(environ) if wanted and self.count > 1 else []
        own = [gpus[(self.number * wanted + i) % len(gpus)] for i in range(min(wanted, len(gpus)))]
        return {"CUDA_VISIBLE_DEVICES": ",".join(own)} if own else {}


def slots(count: int, environ: Mapping[str, str]) -> list[Slot]:
    """The places of `count` runs side by side in what this process may use."""
    cores = own_cores(environ) if count > 1 else []
    return [Slot(number, count, cores) for number in range(count)]
