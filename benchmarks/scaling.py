"""How time and memory grow with the number of crystals and with the number of runs.

    python -m benchmarks.scaling crystals [--sizes 500 2000 6277] [--threads 1]
    python -m benchmarks.scaling runs [--sizes 1 10 100] [--threads 1]

Crystals: one run of a small model (2 + 1 layers, hidden 32) for two epochs on so many crystals of mp6k, caches warm; an
epoch's seconds are those of the second one. Graphs: the seconds of building them all. Runs: `runner submit --wait` of
so many runs of a task that trains nothing, one at a time: what the runner itself adds to each. Memory is that of all
processes together at their highest.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.experiments import SMALL, command, run, wait_for_pool, write
from benchmarks.timing import machine
from jobs.tasks.crystal.data.sources import load
from jobs.tasks.crystal.graphs.shards import packed_graphs
from jobs.tasks.crystal.schema import GraphParams
from runner.rundir.layout import ExperimentDir

ALL = 6277  # crystals of mp6k
SIZES = {"crystals": [500, 2000, ALL], "runs": [1, 10, 100]}
SAMPLED_S = 0.2
NOTHING = """\
from pydantic import BaseModel
from jobs.task import Outcome

class Params(BaseModel, extra="forbid"):
    seed: int = 0

class Nothing:
    Params = Params
    seed_key = "seed"
    def prepare(self, params, cache_root, log): return []
    def run(self, params, context): return Outcome(metrics={"val_mae": float(params.seed)})
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("question", choices=SIZES)
    arguments.add_argument("--sizes", type=int, nargs="+")
    arguments.add_argument("--threads", type=int, default=1)
    chosen = arguments.parse_args()
    measure = crystals if chosen.question == "crystals" else runs
    found = [measure(size, chosen.threads) for size in chosen.sizes or SIZES[chosen.question]]
    print(json.dumps({"machine": machine(), "results": found}, indent=1))


def crystals(size: int, threads: int) -> dict[str, Any]:
    """One run on `size` crystals, eight of ten to train on; and its graphs alone, in a cache of their own."""
    part = size // 10
    counts = {} if size == ALL else {"train": size - 2 * part, "val": part, "test": part}
    data = {"dataset": "mp6k", "split": "random", **counts}
    params = {"data": data, "model": SMALL, "train": {"epochs": 2}}
    with tempfile.TemporaryDirectory() as name:
        its = run(Path(name), params, threads=threads)
        read = load("mp6k", None).crystals[:size]
        began = time.perf_counter()
        packed = packed_graphs(read, GraphParams(), Path(name) / "cache")
        graphs = time.perf_counter() - began
    return {
        "name": f"crystals_{size}",
        "unit": "s",
        "ours": its.epochs[-1],
        "to_first_batch": its.began,
        "graphs": graphs,
        "graph_bytes": sum(table.nbytes for table in packed.tables.values()),
        "peak_bytes": its.peak,
    }


def runs(size: int, threads: int) -> dict[str, Any]:
    """`size` runs, one after the other, from the submission to the last result."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "nothing.py").write_text(NOTHING, encoding="utf-8")
        matrix, array = {"seeds": list(range(size))}, {"max_parallel": 1}
        config = write(folder, {}, threads=threads, task="nothing:Nothing", matrix=matrix, array=array)
        line, environment = command("submit", config, "--root", folder, "--wait")
        began = time.perf_counter()
        process = subprocess.Popen(
            line, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        peak = highest(process, name)
        seconds = time.perf_counter() - began
        directory = ExperimentDir(folder / "measured")
        wait_for_pool(directory)
        done = len(list(directory.runs.glob("*/result.json")))
        if process.returncode or done != size:
            raise RuntimeError(f"{done} of {size} runs are completed; status {process.returncode}")
        written = sum(file.stat().st_size for file in directory.path.rglob("*") if file.is_file())
    return {"name": f"runs_{size}", "unit": "s", "ours": seconds, "peak_bytes": peak, "disk_bytes": written}


def highest(process: subprocess.Popen[bytes], folder: str) -> int:
    """Bytes resident at the highest sample until `process` ends, of all processes with `folder` in their command line.

    The pool of an experiment leaves the tree of the command that starts it.
    """
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(resident(its, folder) for its in psutil.process_iter()))
        time.sleep(SAMPLED_S)
    return peak


def resident(process: psutil.Process, folder: str) -> int:
    """Bytes of a process of the experiment; 0 for others and for one that has just ended."""
    try:
        return int(process.memory_info().rss) if any(folder in word for word in process.cmdline()) else 0
    except psutil.Error:
        return 0


if __name__ == "__main__":
    main()
