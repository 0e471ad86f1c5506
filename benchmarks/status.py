"""How long `runner status` takes for ten thousand runs, all completed and half of them still queued.

    python -m benchmarks.status [--runs 10000]

The directories are written as the workers leave them; a `squeue` that lists the queued runs stands in for Slurm.
Measured are the seconds of the whole command, and its processor seconds, which a busy machine spares.
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

from benchmarks.timing import machine, thousands
from jobs.launch import python_path

NOW = 1_790_000_000.0  # seconds since 1970


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=10_000)
    results = status_10k_seconds(arguments.parse_args().runs)
    print(json.dumps({"machine": machine(), "results": results}, indent=1))


def status_10k_seconds(runs: int = 10_000) -> list[dict[str, Any]]:
    """Show the status of so many completed runs, and again with half of them in the queue."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ids = write(folder, runs)
        results = [{"name": f"status_{thousands(runs)}_seconds", **status(folder, runs), "unit": "s"}]
        queue_again(folder, ids, runs // 2)
        results.append(
            {"name": f"status_{thousands(runs)}_half_queued_seconds", **status(folder, runs // 2), "unit": "s"}
        )
    return results


def status(folder: Path, completed: int) -> dict[str, float]:
    """Seconds and processor seconds of one `runner status`."""
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": python_path(os.environ)}
    command = [sys.executable, "-P", "-m", "runner.cli", "status", "many", "--root", str(folder)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    shown = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if f"{completed} completed" not in shown.replace(",", ""):
        raise RuntimeError(f"the status is wrong: {shown[:300]}")
    return {"ours": seconds, "processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def write(folder: Path, runs: int) -> list[str]:
    """An experiment of one submission whose runs are done, and a Slurm with nothing to do; the ids of the runs."""
    experiment = folder / "many"
    ids = [f"width-{n}-s0-{n:08x}" for n in range(runs)]
    for run_id in ids:
        _write_run(experiment / "runs" / run_id, run_id)
    _dump(
        experiment / "manifest.json",
        {"experiment": "many", "task": "crystal", "created": NOW, "select": {"metric": "val_mae"}, "runs": [
            {"run_id": run_id, "variant": f"width={n}", "seed": 0, "axes": {"model.width": n}, "params": _params(n)}
            for n, run_id in enumerate(ids)
        ]},
    )  # fmt: skip
    submission = experiment / "submissions" / "1"
    submission.mkdir(parents=True)
    _dump(submission / "tasks.json", {"tasks": [[run_id] for run_id in ids]})
    events = [
        {"event": "begun", "submission": 1, "kind": "slurm", "runs": runs, "time": NOW},
        {"event": "sending", "submission": 1, "token": "t", "first": 0, "count": runs, "time": NOW},
        {"event": "sent", "submission": 1, "token": "t", "job_id": "7", "time": NOW},
    ]
    (experiment / "submissions.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    squeue = folder / "bin" / "squeue"
    squeue.parent.mkdir()
    (folder / "queue").touch()
    squeue.write_text(f"#!/bin/sh\ncat {folder / 'queue'}\n")
    squeue.chmod(0o755)
    return ids


def queue_again(folder: Path, ids: list[str], first: int) -> None:
    """Let the runs from `first` on wait in the queue."""
    for run_id in ids[first:]:
        for name in ("heartbeat.json", "result.json"):
            (folder / "many" / "runs" / run_id / name).unlink()
    lines = (f"7|{n}|PENDING|N/A|Priority|runner:t\n" for n in range(first, len(ids)))
    (folder / "queue").write_text("".join(lines))


def _write_run(directory: Path, run_id: str) -> None:
    directory.mkdir(parents=True)
    (directory / "config.yaml").write_text(f"run_id: {run_id}\n")
    beat = {"time": NOW, "ended": True, "attempt": 1, "epoch": 20, "epochs": 20, "metric": "val_mae", "value": 0.1,
            "interval": 30, "host": "n1", "pid": 1, "start_time": "1", "job_id": "7_1"}  # fmt: skip
    result = {"run_id": run_id, "variant": run_id, "seed": 0, "metrics": {"val_mae": 0.1, "test_mae": 0.1},
              "best_epoch": 20, "epochs": 20, "fusion": {"2": {"w_graph": 0.6, "w_text": 0.3}}}  # fmt: skip
    _dump(directory / "heartbeat.json", beat)
    _dump(directory / "result.json", result)
    for name in ("metrics.jsonl", "attempts.jsonl", "best.pt"):
        (directory / name).touch()


def _params(width: int) -> dict[str, Any]:
    """As many keys as a crystal run has."""
    return {section: {f"key{i}": i for i in range(12)} for section in ("data", "text", "train")} | {
        "model": {"width": width}
    }


def _dump(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


if __name__ == "__main__":
    main()
