"""What the allocator settings of a run's process are worth: a training step with and without them, in alternation.

    python -m benchmarks.allocator [--batch 64] [--rounds 3] [--steps 4] [--threads 2]

Each side is a process of its own, since glibc reads its settings at the start: the model of configs/stage1.yaml, a
batch of mp6k, forward, backward and AdamW. A process tells its median step and the page faults of one, which the
settings spare.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.improved_step import batch, model, step
from benchmarks.timing import machine
from jobs.launch import ALLOCATOR, child_environment

SIDES = ("with", "without")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--batch", type=int, default=64)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--steps", type=int, default=4)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--once", action="store_true", help=argparse.SUPPRESS)  # a process of one side
    chosen = arguments.parse_args()
    torch.set_num_threads(chosen.threads)
    if chosen.once:
        print(json.dumps(once(chosen)))
    else:
        print(json.dumps({"machine": machine(), "results": results(chosen)}, indent=1))


def results(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(chosen.rounds):
        for side in SIDES:
            found[side].append(process(chosen, environment(os.environ, side, chosen.threads)))
    ours, theirs = (statistics.median(its["seconds"] for its in found[side]) for side in SIDES)
    faults = {f"faults_{side}": statistics.median(its["faults"] for its in found[side]) for side in SIDES}
    return [
        {"name": "allocator", "ratio": theirs / ours, "ours": ours, "theirs": theirs, "unit": "s", **faults,
         "batch": chosen.batch, "threads": chosen.threads},
    ]  # fmt: skip


def environment(environ: Mapping[str, str], side: str, threads: int) -> dict[str, str]:
    """That of a run, or the same without the settings."""
    given = {name: value for name, value in environ.items() if name not in ALLOCATOR}
    started = child_environment(given, threads)
    return started if side == "with" else {name: value for name, value in started.items() if name not in ALLOCATOR}


def process(chosen: argparse.Namespace, environment: Mapping[str, str]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.allocator", "--once", "--batch", str(chosen.batch)]
    command += ["--steps", str(chosen.steps), "--threads", str(chosen.threads)]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, env=dict(environment), cwd=root, check=True, capture_output=True, text=True)
    told: dict[str, float] = json.loads(done.stdout)
    return told


def once(chosen: argparse.Namespace) -> dict[str, float]:
    """Median seconds and page faults of a step, after one that does not count."""
    graphs, texts = batch(chosen.batch)
    take = step(model("dynamic", 256), graphs, texts)
    seconds, faults = [], []
    for _ in range(chosen.steps + 1):
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
        take()
        seconds.append(time.perf_counter() - began)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return {"seconds": statistics.median(seconds[1:]), "faults": statistics.median(faults[1:])}


if __name__ == "__main__":
    main()
