"""Peak memory of a run on all of mp6k without a GPU, as the run's parent records it.

    python -m benchmarks.memory [--epochs 1] [--threads 2] [--model stage1 small]

The whole set of 6,277 crystals, batch 64: ALIGNN 4 + 4 with hidden 256 and a `dynamic` fusion as in the last stage of
a search, and a small model. Training, validation, checkpoints and the evaluation of the test split are part of it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.experiments import SMALL, STAGE1, run
from benchmarks.timing import machine

LIMIT = 3 << 30  # bytes
MODELS = {"stage1": STAGE1, "small": SMALL}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--epochs", type=int, default=1)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS))
    chosen = arguments.parse_args()
    found = [result(name, chosen.epochs, chosen.threads) for name in chosen.model]
    print(json.dumps({"machine": machine(), "results": found}, indent=1))


def result(model: str, epochs: int, threads: int) -> dict[str, Any]:
    params = {"data": {"dataset": "mp6k"}, "model": MODELS[model], "train": {"epochs": epochs}}
    with tempfile.TemporaryDirectory() as folder:
        its = run(Path(folder), params, threads=threads)
    return {
        "name": f"run_memory_{model}",
        "ours": its.peak,
        "limit": LIMIT,
        "unit": "bytes",
        "epoch_seconds": its.epochs[-1],
        "threads": threads,
    }


if __name__ == "__main__":
    main()
