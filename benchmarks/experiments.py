"""Runs of the crystal task as a user starts them, and what their own records say of time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from jobs.launch import python_path
from runner.files import read_json, read_json_lines
from runner.rundir.layout import ExperimentDir, RunDir

POOL_ENDS_S = 60.0

# The model of configs/stage1.yaml, and one that trains fast
STAGE1 = {"encoder": {"name": "alignn"}, "middle_fusion": {"name": "dynamic", "layers": [2]}}
SMALL = {
    "encoder": {"name": "alignn", "alignn_layers": 2, "gcn_layers": 1, "embedding": 16, "hidden": 32},
    "middle_fusion": {"name": "dynamic", "layers": [1], "hidden_dim": 16},
}


@dataclass(frozen=True)
class Ran:
    """One run."""

    began: float  # s from the command to the first batch of the first epoch
    wall: float  # s of the whole command
    epochs: list[float]  # s each, training and validation
    peak: int  # bytes resident at most, of the run's own process
    result: dict[str, Any]


def write(folder: Path, params: Mapping[str, Any], *, threads: int, **rest: Any) -> Path:
    """An experiment file for one machine without a GPU."""
    content = {
        "experiment": "measured",
        "task": "crystal",
        "params": dict(params),
        "cluster": "local",
        "resources": {"gpus": 0, "cpus": threads},
        **rest,
    }
    path = folder / "measured.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def command(name: str, *arguments: object, program: str = "runner") -> tuple[list[str], dict[str, str]]:
    """The command line and the environment of `runner NAME …`."""
    line = [sys.executable, "-P", "-m", f"{program}.cli", name, *map(str, arguments)]
    return line, {**os.environ, "PYTHONPATH": python_path(os.environ), "RUNNER_HEARTBEAT_S": "1"}


def call(name: str, *arguments: object) -> None:
    """`runner NAME …`; CalledProcessError with what it said where it fails."""
    line, environment = command(name, *arguments)
    subprocess.run(line, env=environment, check=True, stdout=subprocess.DEVNULL)


def wait_for_pool(experiment: ExperimentDir) -> None:
    """Until the pool of the only submission has ended, which is a moment after its last run."""
    deadline = time.monotonic() + POOL_ENDS_S
    while not (read_json(experiment.pool_state(1)) or {}).get("ended"):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the pool of {experiment.path} does not end")
        time.sleep(0.1)


def run(folder: Path, params: Mapping[str, Any], *, threads: int) -> Ran:
    """`runner run` of one variant, in a directory of its own below `folder`, with whatever the cache has."""
    config = write(folder, params, threads=threads)
    started = time.time()
    call("run", config, 1, "--root", folder)
    return ran(one_run(folder), started, time.time() - started)


def one_run(root: Path) -> RunDir:
    """The only run below `root`."""
    experiment = ExperimentDir(root / "measured")
    (directory,) = experiment.runs.iterdir()
    return experiment.run(directory.name)


def ran(directory: RunDir, started: float, wall: float) -> Ran:
    """What the records of a finished run say. An epoch's record has its time of writing and its seconds."""
    epochs = read_json_lines(directory.metrics)
    ends = [line for line in read_json_lines(directory.attempts) if "peak_memory_bytes" in line]
    return Ran(
        began=epochs[0]["time"] - epochs[0]["seconds"] - started,
        wall=wall,
        epochs=[line["seconds"] for line in epochs],
        peak=int(ends[-1]["peak_memory_bytes"]),
        result=read_json(directory.result) or {},
    )
