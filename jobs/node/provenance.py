"""What a run was made with: code, versions, machine; and for its owner alone, environment and uncommitted changes."""

from __future__ import annotations

import functools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import jobs
from jobs.log import say
from runner.files import write_json
from runner.masking import masked
from runner.rundir.checkout import checkouts
from runner.rundir.layout import RunDir
from runner.rundir.processes import host_name

FACTS = "RUNNER_FACTS"  # variable in which a parent gives its runs `machine_facts`
_PACKAGES = (
    "array-runner", "torch", "numpy", "scipy", "pandas", "pydantic", "submitit", "transformers", "tokenizers",
    "safetensors", "jarvis-tools", "dgl", "alignn", "vesin", "matscipy", "ase", "spglib", "robocrys", "pymatgen",
)  # fmt: skip
_ENVIRONMENT = re.compile(
    r"(SLURM|SBATCH|SUBMITIT|RUNNER|CUDA|NVIDIA|NCCL|OMP|MKL|OPENBLAS|NUMEXPR|MALLOC|TORCH|PYTORCH|PYTHON|HF|CONDA)_.*"
    r"|PYTHON(PATH|HASHSEED|SAFEPATH)|VIRTUAL_ENV|LOADEDMODULES|LANG|LC_ALL|TZ|TMPDIR|HOME|USER"
)
_SECRET = re.compile(r"TOKEN|SECRET|PASS|KEY|CRED|AUTH|COOKIE|SESSION|JWT", re.IGNORECASE)
_ANSWER_S = 20


def write_provenance(run: RunDir, code_path: Path | None = None) -> None:
    """Write provenance.json and private.json, with the code as it was submitted.

    code_path: folder of the user's own modules.
    """
    facts = json.loads(os.environ.pop(FACTS, "null")) or machine_facts()
    versions = checkouts(Path(jobs.__file__).resolve().parent.parent, code_path)
    start = {"time": time.time(), "command": [masked(word) for word in sys.argv]}
    write_json(run.provenance, {**start, **versions.record, **facts})
    write_json(run.private, {"environment": shown_environment(os.environ), "diff": versions.diffs}, private=True)


@functools.cache
def machine_facts() -> dict[str, Any]:
    """Interpreter, versions and machine: the same for all runs of a parent, which asks once for them."""
    return {
        "python": platform.python_version(),
        "executable": sys.executable,
        "versions": _versions(),
        "host": host_name(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "gpus": _gpus(),
    }


def shown_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that can change a result; none whose name or value looks like a secret."""
    names = (name for name in sorted(environ) if _ENVIRONMENT.fullmatch(name) and not _SECRET.search(name))
    return {name: masked(environ[name]) for name in names}


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version  # a run whose parent has asked does without

    versions = {}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):  # an optional dependency
            versions[package] = version(package)
    return versions


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except FileNotFoundError:  # not Linux
        return platform.processor()
    model = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    return model[1] if model else platform.machine()


def _gpus() -> list[dict[str, str]]:
    if shutil.which("nvidia-smi") is None:
        return []
    query = "index,name,uuid,memory.total,driver_version"
    answer = _answer(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]) or ""
    return [dict(zip(query.split(","), line.split(", "), strict=False)) for line in answer.splitlines()]


def _answer(command: list[str]) -> str | None:
    """What `command` prints; None when it fails or hangs, which must not keep a run from training."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_ANSWER_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"provenance: {error}")
        return None
    return done.stdout.strip() if done.returncode == 0 else None
