"""Writes run directories of `tiny_task`, as `runner submit` would."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from jobs.launch import python_path
from runner.rundir.layout import ExperimentDir, RunDir

TESTS = Path(__file__).parent


def write_run(root: Path, run_id: str = "tiny-0", *, config: dict[str, Any] | None = None, **params: Any) -> RunDir:
    """A run directory below the experiment directory `root`; `config` overrides keys of config.yaml."""
    directory = ExperimentDir(root).run(run_id)
    directory.path.mkdir(parents=True)
    content = {
        "experiment": root.name, "run_id": run_id, "variant": "tiny", "seed": 0, "axes": {},
        "task": "tiny_task:TinyTask", "threads": 1, "gpus": 0, "params": params, "keep": {"checkpoints": "all"},
        "retry": {"max_attempts": 3}, "stop_after_same_error": None, "code_path": str(TESTS),
    }  # fmt: skip
    directory.config.write_text(yaml.safe_dump({**content, **(config or {})}))
    return directory


def environment(**changes: str) -> dict[str, str]:
    """For parents and pools that tests start: this code, quick heartbeats."""
    return {**os.environ, "PYTHONPATH": python_path(os.environ), "RUNNER_HEARTBEAT_S": "0.5", **changes}


def parent_command(*directories: RunDir) -> list[str]:
    return [sys.executable, "-P", "-m", "jobs.node.parent", *(str(directory.path) for directory in directories)]


def wait_until(condition: Callable[[], Any], seconds: float = 20.0, what: str = "condition") -> Any:
    """The first true value of `condition()`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds} s")
