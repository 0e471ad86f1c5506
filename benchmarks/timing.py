"""Timing things side by side: in alternation, so that a busy machine slows all of them alike."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch


def alternate(
    steps: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median seconds of each step over `rounds`, after one round that does not count.

    With the clock `time.process_time`, for steps of one thread, waiting for a processor does not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            start = clock()
            step()
            if number:
                seconds[name].append(clock() - start)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def machine() -> dict[str, Any]:
    """What was measured on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "processor": _processor() or platform.processor() or platform.machine(),
        "vectors": torch.backends.cpu.get_cpu_capability(),  # what torch computes with, as AVX2 or AVX512
    }


def thousands(number: int) -> str:
    """10000 as `10k`."""
    return f"{number // 1000}k" if number >= 10_000 and number % 1000 == 0 else str(number)


def _processor() -> str:
    """Its name, where Linux says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
