"""Small searches of `tiny_task`, submitted as a person would."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir, RunDir
from tiny_experiment import TESTS, environment

SITE = "kind: slurm\npartition: gpu\nenvironment: {RUNNER_HEARTBEAT_S: '0.5'}\nsupervisor: {time: 5m}\n"


def stage(folder: Path, name: str, **changes: Any) -> Path:
    """An experiment file; three runs of one to three epochs unless `changes` of its keys say otherwise."""
    content = {
        "experiment": name,
        "task": "tiny_task:TinyTask",
        "matrix": {"axes": {"train.epochs": [1, 2, 3]}},
        "select": {"metric": "val_loss"},
        "resources": {"cpus": 1, "time": "5m", "memory": "500M"},
        **changes,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def site(folder: Path, more: str = "") -> Path:
    """A cluster file for the throw-away Slurm, with `more` keys."""
    path = folder / "site.yaml"
    path.write_text(SITE + more)
    return path


def runner(*arguments: str | Path, root: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """A command of `runner`; `changes` are of its environment."""
    command = [sys.executable, "-P", "-m", "runner.cli", *map(str, arguments), "--root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(**changes), cwd=TESTS, timeout=180)


def runs(root: Path, name: str) -> dict[str, RunDir]:
    """Variant → its directory, for experiments of one seed."""
    directory = ExperimentDir(root / name)
    return {run.variant: directory.run(run.run_id) for run in manifest.read(directory).runs}


def rows(root: Path, name: str) -> list[dict[str, Any]]:
    """A row a run of `runner status`, in the order of the manifest."""
    shown = runner("status", name, "--format", "json", root=root)
    found: list[dict[str, Any]] = json.loads(shown.stdout)["runs"]
    return found


def states(root: Path, name: str) -> list[tuple[str, str | None]]:
    """State and kind of failure of each run."""
    return [(row["state"], row["kind"]) for row in rows(root, name)]
