"""What `runner doctor` runs on a compute node: a look around, written down for the login node."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.signals import Signals
from runner.files import write_json
from runner.processes import host_name

SIGNAL_WAIT_S = 45.0


@dataclass(frozen=True)
class Probe:
    """What submitit pickles: where to write what was seen."""

    folder: str
    cache: str
    needs_gpu: bool

    def __call__(self) -> None:
        folder = Path(self.folder)
        with Signals() as signals:
            write_json(folder / "seen.json", look_around(Path(self.cache), self.needs_gpu))
            until = time.monotonic() + SIGNAL_WAIT_S
            while time.monotonic() < until:
                if signal.SIGUSR2 in signals.wait(1.0):
                    write_json(folder / "signal.json", {"time": time.time()})
                    return


def look_around(cache: Path, needs_gpu: bool) -> dict[str, Any]:
    """What a run would find here."""
    seen: dict[str, Any] = {
        "host": host_name(),
        "python": sys.version.split()[0],
        "job_id": os.environ.get("SLURM_JOB_ID"),
        "packages": {name: importlib.util.find_spec(name) is not None for name in ("torch", "jobs", "models")},
        "cache": writable(cache),
        "scontrol": shutil.which("scontrol") is not None,
    }
    if needs_gpu:
        seen["gpu"] = gpus()
    return seen


def writable(folder: Path) -> str:
    """`yes`, `read-only`, or why the folder cannot be used."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except PermissionError:
        return "read-only"
    except OSError as error:
        return str(error)
    return "yes"


def gpus() -> str:
    """What nvidia-smi shows, or why it shows nothing."""
    try:
        shown = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"none: {error}"
    return shown.stdout.strip().replace("\n", "; ") or f"none: {shown.stderr.strip()}"
