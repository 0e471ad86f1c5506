"""Seconds of `runner expand` for matrices of a hundred thousand runs of the crystal task, as CSV.

    python -m benchmarks.expand [--rounds 3]

Measured are the seconds of the whole command, and its processor seconds, which a busy machine spares.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.experiments import command, write
from benchmarks.timing import machine

LIMIT = 5.0  # s
TENS = list(range(1, 11))
RATES = [1e-4 * n for n in TENS]
# Ten seeds of each point. Sections that runs share are checked and hashed once: in the second matrix none is.
MATRICES: dict[str, dict[str, Any]] = {
    "expand_100k_seconds": {
        "model.middle_fusion": [{"name": "dynamic", "layers": [1 + n % 4], "hidden_dim": 32 * n} for n in TENS],
        "model.dropout": [0.05 * n for n in TENS],
        "train.learning_rate": RATES,
        "train.batch_size": [8 * n for n in TENS],
    },
    "expand_100k_one_section_seconds": {
        "train.learning_rate": RATES,
        "train.batch_size": [8 * n for n in TENS],
        "train.epochs": TENS,
        "train.weight_decay": [1e-6 * n for n in TENS],
    },
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=3)
    chosen = arguments.parse_args()
    found = [result(name, axes, chosen.rounds) for name, axes in MATRICES.items()]
    print(json.dumps({"machine": machine(), "results": found}, indent=1))


def result(name: str, axes: dict[str, Any], rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        measured = [expand(Path(folder), axes) for _ in range(rounds)]
    seconds, processor = (statistics.median(column) for column in zip(*measured, strict=True))
    return {"name": name, "ours": seconds, "processor": processor, "limit": LIMIT, "unit": "s"}


def expand(folder: Path, axes: dict[str, Any]) -> tuple[float, float]:
    """Seconds and processor seconds; RuntimeError where the table is not as long as the matrix."""
    runs = len(TENS) * math.prod(map(len, axes.values()))
    config = write(folder, {}, threads=1, matrix={"axes": axes, "seeds": TENS})
    line, environment = command("expand", config, "--root", folder, "--format", "csv")
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    shown = subprocess.run(line, env=environment, check=True, capture_output=True, text=True).stdout
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if shown.count("\n") != runs + 1:
        raise RuntimeError(f"{shown.count(chr(10)) - 1} rows for {runs} runs")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
