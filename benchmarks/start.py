"""Seconds from `runner run` to the first batch of a run of configs/stage1.yaml, with warm caches.

    python -m benchmarks.start [--rounds 3] [--threads 2]

The run reads 600 crystals of mp6k, their graphs and their embedded texts from the cache, and builds ALIGNN 4 + 4 with
hidden 256 and one `dynamic` fusion. A first start, which fills the caches and the system's file cache, does not count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.experiments import STAGE1, run
from benchmarks.timing import machine

LIMIT = 10.0  # s
PARAMS = {"data": {"dataset": "mp6k", "train": 500, "val": 50, "test": 50}, "model": STAGE1, "train": {"epochs": 1}}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--threads", type=int, default=2)
    chosen = arguments.parse_args()
    print(json.dumps({"machine": machine(), "results": results(chosen.rounds, chosen.threads)}, indent=1))


def results(rounds: int, threads: int) -> list[dict[str, Any]]:
    seconds = [start(threads) for _ in range(rounds + 1)][1:]
    return [{"name": "start_seconds", "ours": statistics.median(seconds), "limit": LIMIT, "unit": "s"}]


def start(threads: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return run(Path(folder), PARAMS, threads=threads).began


if __name__ == "__main__":
    main()
