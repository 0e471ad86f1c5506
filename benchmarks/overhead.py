"""What a trivial run costs beside its own work: packed, alone in its array task, and in the local pool.

    python -m benchmarks.overhead [--runs 300]

On a throw-away Slurm, four at once: a bare array of `sleep 0.2` against an experiment whose runs do the same, worked
through in turn by one array task, and with one run per array task. In the local pool: against starting Python and
importing the task. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.timing import machine
from jobs.launch import python_path

CLUSTER = Path(__file__).resolve().parents[1] / "tests" / "slurm-cluster"
AT_ONCE = 4
SLEEP_S = 0.2
LIMITS = {"overhead_in_turn": 1.5, "overhead_alone": 4.0, "overhead_local": 3.0}  # times the plain way
SITE = "kind: slurm\npartition: gpu\n"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=300)
    print(json.dumps({"machine": machine(), "results": results(arguments.parse_args().runs)}, indent=1))


def results(runs: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="ov-", dir="/tmp") as name:  # sockets of Slurm need a short path
        folder, state = Path(name), Path(name) / "slurm"
        subprocess.run(
            [CLUSTER, "up", "--state", state, "--base-port", "auto", "--no-accounting"], check=True, capture_output=True
        )
        os.environ["SLURM_CONF"] = str(state / "etc" / "slurm.conf")
        try:
            bare = bare_array(folder / "bare", runs)
            in_turn = experiment(folder, "turn", runs, {"side_by_side": AT_ONCE, "in_turn": -(-runs // AT_ONCE)})
            alone = experiment(folder, "alone", runs, {"max_parallel": AT_ONCE})
        finally:
            subprocess.run([CLUSTER, "down", "--state", state, "--purge"], check=True, capture_output=True)
        packing = {"side_by_side": AT_ONCE, "in_turn": -(-runs // AT_ONCE)}
        local = experiment(folder, "local", runs, packing, "kind: local\nmax_parallel: 1\n")
        start = f"import jobs.tasks.command.task, subprocess; subprocess.run(['sleep', '{SLEEP_S}'])"
        plain = at_once([sys.executable, "-P", "-c", start], runs)
    return [
        compared("overhead_in_turn", in_turn, bare, runs),
        compared("overhead_alone", alone, bare, runs),
        compared("overhead_local", local, plain, runs),
    ]


def compared(name: str, ours: float, theirs: float, runs: int) -> dict[str, Any]:
    """Seconds per run of both sides."""
    sides = {"ours": ours / runs, "theirs": theirs / runs, "ratio": ours / theirs}
    return {"name": name, "unit": "s", **sides, "limit": LIMITS[name], "runs": runs}


def bare_array(folder: Path, runs: int) -> float:
    """Seconds from sbatch to the last file of an array whose tasks sleep and write one."""
    folder.mkdir()
    work = f"sleep {SLEEP_S}; touch {folder}/$SLURM_ARRAY_TASK_ID"
    began = time.perf_counter()
    command = ["sbatch", f"--array=1-{runs}%{AT_ONCE}", "-o", "/dev/null", "--wrap", work]
    subprocess.run(command, check=True, capture_output=True, cwd="/tmp")
    wait_for(folder, "*", runs)
    return time.perf_counter() - began


def wait_for(folder: Path, pattern: str, count: int) -> None:
    while sum(1 for _ in folder.glob(pattern)) < count:
        time.sleep(0.2)


def at_once(command: list[str], count: int) -> float:
    """Seconds of `count` starts of `command`, a few at a time."""
    began, environment = time.perf_counter(), {**os.environ, "PYTHONPATH": python_path(os.environ)}
    running: list[subprocess.Popen[bytes]] = []
    for _ in range(count):
        if len(running) == AT_ONCE:
            running.pop(0).wait()
        running.append(subprocess.Popen(command, env=environment))
    for process in running:
        process.wait()
    return time.perf_counter() - began


def experiment(folder: Path, name: str, runs: int, array: dict[str, int], site: str = SITE) -> float:
    """Seconds from `runner submit` to the last result of `runs` runs of `sleep`."""
    work = {"run": f"sleep {SLEEP_S} && echo val_mae={{number}}", "shell": True}
    metrics = {"pattern": r"val_mae=(?P<val_mae>\S+)"}
    content = {
        "experiment": name,
        "task": "command",
        "params": {"command": {**work, "metrics": metrics}},
        "matrix": {"axes": {"values.number": list(range(runs))}},
        "resources": {"cpus": 1, "memory": "200M", "time": "10m"},
        "array": array,
    }
    config, cluster = folder / f"{name}.yaml", folder / f"{name}-site.yaml"
    config.write_text(yaml.safe_dump(content))
    cluster.write_text(site)
    command = [sys.executable, "-P", "-m", "runner.cli", "submit", str(config), "--cluster", str(cluster)]
    environment = {**os.environ, "PYTHONPATH": python_path(os.environ)}
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    wait_for(folder / "runs" / name / "runs", "*/result.json", runs)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
