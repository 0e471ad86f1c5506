"""Times `analysis summarize` on a large experiment, the first time and again.

python benchmarks/summarize.py [--runs 10000] [--epochs 100] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from benchmarks.timing import machine, thousands  # noqa: E402
from experiment_factory import Plan, PlannedVariant, write_experiment  # noqa: E402

SEEDS = 5
LIMITS = {"summarize": 15.0, "summarize_again": 3.0}  # seconds
MEMORY_LIMIT = 1024.0  # MiB, all processes together


def generate(root: Path, runs: int, epochs: int) -> Path:
    """An experiment of `runs` runs: every log a run writes, 50 validation and 50 test crystals."""
    diagnostics = {"norm_ratio": 1.0, "cosine": 0.4, "relative_change": 0.2, "alpha_histogram": [12] * 20}
    variants = [
        PlannedVariant(f"v{number:05d}", 0.1 + 0.1 * number * SEEDS / runs, layers=(2, 3), diagnostics=diagnostics)
        for number in range(runs // SEEDS)
    ]
    plan = Plan(variants, name="large", seeds=range(SEEDS), epochs=epochs, best_epoch=epochs - 5, crystal_noise=0.02)
    return write_experiment(root, plan)


def timed(experiment: Path) -> dict[str, float]:
    """Wall time, processor time and peak memory of one call, in a process of its own."""
    started, used = time.perf_counter(), cpu_seconds()
    command = [sys.executable, "-m", "analysis.cli", "summarize", str(experiment)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, resident(process.pid))
        time.sleep(0.02)
    seconds, cpu = time.perf_counter() - started, cpu_seconds() - used
    if process.returncode:
        raise SystemExit(f"summarize ended with status {process.returncode}")
    return {"seconds": round(seconds, 2), "cpu_seconds": round(cpu, 2), "memory_mib": round(peak, 1)}


def cpu_seconds() -> float:
    """Processor time of all ended children of this process and theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def resident(pid: int) -> float:
    """Resident memory of a process and its children, MiB; shared pages count once for each."""
    total = 0.0
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return 0.0
    total += pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return total + sum(resident(int(child)) for child in children)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        experiment = generate(Path(root), options.runs, options.epochs)
        size = sum(file.stat().st_size for file in experiment.rglob("*") if file.is_file()) / 2**20
        results = []
        for name, limit in LIMITS.items():
            found = timed(experiment)
            memory = {"memory_mib": found["memory_mib"], "memory_limit_mib": MEMORY_LIMIT}
            told = {"ours": found["seconds"], "processor": found["cpu_seconds"], "limit": limit, "unit": "s"}
            results.append({"name": f"{name}_{thousands(options.runs)}_seconds", **told, **memory})
    report = {"machine": machine(), "epochs": options.epochs, "size_mib": round(size), "results": results}
    text = json.dumps(report, indent=1) + "\n"
    if options.json:
        options.json.write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
