"""Experiments that version 0.1 wrote, one of each task, are read, resumed and summarised with the same results."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from crystal_experiment import command
from jobs.launch import module_command, python_path
from runner.files import read_mapping
from runner.rundir.layout import ExperimentDir

STORED = Path(__file__).parent / "data" / "experiments_0_1"
EXPECTED = json.loads((STORED / "expected.json").read_text())
INTERRUPTED = "layers-1-s1-5e325473"  # of crystal: stopped after the first of four epochs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in EXPECTED:
        shutil.copytree(STORED / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_status_and_summary_of_an_older_experiment_agree(name: str, root: Path) -> None:
    rows = json.loads(command("runner.cli", "status", name, "--root", root, "--format", "json", cache=root).stdout)[
        "runs"
    ]
    completed = {row["run_id"] for row in rows if row["state"] == "completed"}
    assert completed == set(EXPECTED[name]) - {INTERRUPTED}
    summary = command("analysis.cli", "summarize", name, "--root", root, "--format", "json", cache=root)
    assert summary.returncode == 0, summary.stderr
    runs = read_mapping(ExperimentDir(root / name).results)["runs"]
    metric = "val_mse" if name == "sentiment" else "val_mae"
    for row in runs:
        if row["run_id"] in completed:
            assert row["best_loss"] == EXPECTED[name][row["run_id"]]["metrics"][metric]


@pytest.mark.torch
def test_older_run_is_resumed_to_the_result_of_an_undisturbed_one(root: Path) -> None:
    run = ExperimentDir(root / "crystal").run(INTERRUPTED)
    environment = {**os.environ, "PYTHONPATH": python_path(os.environ), "RUNNER_CACHE": str(root / "cache")}
    subprocess.run(module_command("jobs.node.parent", str(run.path)), env=environment, check=True, timeout=300)
    result, expected = read_mapping(run.result), EXPECTED["crystal"][INTERRUPTED]
    assert result["best_epoch"] == expected["best_epoch"]
    metrics = {name: result["metrics"][name] for name in expected["metrics"]}  # and reliance, which is newer
    assert metrics == pytest.approx(expected["metrics"], rel=1e-6)  # bits are equal on one kind of processor only
    assert [line["epoch"] for line in map(json.loads, run.metrics.read_text().splitlines())] == [1, 2, 3, 4]
