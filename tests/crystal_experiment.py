"""A small search on shipped crystals, submitted as a person would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from jobs.launch import python_path
from runner.rundir.layout import ExperimentDir

CONFIG = """\
experiment: small
task: crystal
params:
  data: {dataset: jarvis_minerals, target: formation_energy_peratom, train: 32, val: 8, test: 8}
  text: {encoder: minilm, describe: robocrys, max_length: 64}
  model:
    encoder: {name: alignn, alignn_layers: 2, gcn_layers: 1, embedding: 16, hidden: 32}
    middle_fusion: {name: dynamic, layers: [1], hidden_dim: 16}
  train: {epochs: %(epochs)d, batch_size: 8, learning_rate: 2e-3}
matrix:
  axes: {model.middle_fusion.layers: [[1], [1, 2]]}
  named: {graph_only: {model.middle_fusion: {name: none}}}
baseline: graph_only
resources: {cpus: 1, memory: 2G, time: 10m}
"""

CHANGING = ("seconds", "attempts", "cost")


def write_config(folder: Path, epochs: int = 3) -> Path:
    path = folder / "small.yaml"
    path.write_text(CONFIG % {"epochs": epochs})
    return path


def command(module: str, *arguments: str | Path, cache: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m module` with this code, a cache of its own and quick heartbeats."""
    environment = {
        **os.environ,
        "PYTHONPATH": python_path(os.environ),
        "RUNNER_CACHE": str(cache),
        "RUNNER_HEARTBEAT_S": "0.5",
        **changes,
    }
    return subprocess.run(
        [sys.executable, "-P", "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )


def results(root: Path) -> dict[str, dict[str, Any]]:
    """Run id → result.json without what may differ between two executions of the same run."""
    found = {}
    for path in ExperimentDir(root / "small").runs.glob("*/result.json"):
        content = json.loads(path.read_text())
        found[path.parent.name] = {key: value for key, value in content.items() if key not in CHANGING}
    return found
