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

from jobs.node.signals import Signals
from runner.files import write_json
from runner.rundir.processes import host_name

CHECKPOINT_S = 5.0  # what hears the warning must still live so long, as a run that writes its checkpoint


@dataclass(frozen=True)
class Probe:
    """What submitit pickles: where to write what was seen."""

    folder: str
    cache: str
    needs_gpu: bool
    limit_s: float  # of the job

    def __call__(self) -> None:
        folder, began = Path(self.folder), time.monotonic()
        with Signals() as signals:
            write_json(folder / "seen.json", look_around(Path(self.cache), self.needs_gpu))
            while time.monotonic() < began + self.limit_s:
                heard = signals.wait(1.0)
                if signal.SIGUSR2 in heard:
                    after = time.monotonic() - began
                    time.sleep(CHECKPOINT_S)
                    write_json(folder / "signal.json", {"seconds_after_start": after})
                    return
                if heard:  # Slurm has ended us without the warning
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
