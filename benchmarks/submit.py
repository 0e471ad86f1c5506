"""How long `runner submit` takes for an array of a thousand trivial runs, and what it sends.

    python -m benchmarks.submit [--runs 1000]

Slurm itself is left out: an `sbatch` that answers at once stands in for it, so that what is measured is ours. Measured
are the seconds of the whole command, and the processor seconds of it and its children, which a busy machine spares.
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
from typing import Any

import yaml

from benchmarks.timing import machine
from jobs.launch import python_path

TASK = """\
from pydantic import BaseModel

class Params(BaseModel, extra="forbid"):
    seed: int = 0
    width: int = 0

class Trivial:
    Params = Params
    seed_key = "seed"
    def prepare(self, params, cache_root, log): return []
    def run(self, params, context): raise AssertionError("sbatch is a stand-in here: no run may start")
"""
SLURM = {
    "sbatch": 'echo >> "$CALLS"; echo "Submitted batch job $(wc -l < "$CALLS")"',
    "squeue": "true",
    "scancel": "true",
    "scontrol": 'case "$*" in *config*) echo "MaxArraySize = 1001";; *) echo "PartitionName=p Default=YES";; esac',
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=1000)
    results = submit_1000_seconds(arguments.parse_args().runs)
    print(json.dumps({"machine": machine(), "results": results}, indent=1))


def submit_1000_seconds(runs: int = 1000) -> list[dict[str, Any]]:
    """Submit an array of so many trivial runs from a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        return submit(Path(folder), runs)


def submit(folder: Path, runs: int) -> list[dict[str, Any]]:
    """Submit `runs` runs below `folder`; seconds, calls of sbatch, bytes of the largest pickle."""
    config, environment = write(folder, runs)
    command = [sys.executable, "-P", "-m", "runner.cli", "submit", str(config), "--cluster", "site.yaml"]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stderr=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    pickles = [path.stat().st_size for path in (folder / "runs").glob("*/submissions/1/slurm/*.pkl")]
    calls = len((folder / "calls").read_text().splitlines())
    return [
        {"name": f"submit_{runs}_seconds", "ours": seconds, "processor": processor, "unit": "s"},
        {"name": "sbatch_calls", "ours": calls, "arrays": -(-runs // 1001), "unit": "calls"},
        {"name": "largest_pickle", "ours": max(pickles), "unit": "bytes", "pickles": len(pickles)},
    ]


def write(folder: Path, runs: int) -> tuple[Path, dict[str, str]]:
    """The experiment, its task and the commands that stand in for Slurm; the environment to submit in."""
    (folder / "trivial.py").write_text(TASK)
    (folder / "site.yaml").write_text("kind: slurm\n")
    (folder / "bin").mkdir()
    for name, script in SLURM.items():
        (folder / "bin" / name).write_text(f"#!/bin/bash\n{script}\n")
        (folder / "bin" / name).chmod(0o755)
    content = {
        "experiment": "many",
        "task": "trivial:Trivial",
        "matrix": {"axes": {"width": list(range(runs))}},
        "resources": {"time": "5m"},
    }
    config = folder / "many.yaml"
    config.write_text(yaml.safe_dump(content))
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    found = {**os.environ, "PATH": path, "PYTHONPATH": python_path(os.environ), "CALLS": str(folder / "calls")}
    return config, found


if __name__ == "__main__":
    main()
