"""The demo as a stranger runs it: a clean clone, an empty home, the first command of README; then on a real Slurm."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from slurm_cluster import SlurmCluster

REPOSITORY = Path(__file__).parents[2]
SHARE_OF_MEAN = 0.35  # of the error of predicting the mean of the training targets
LONGEST = 300  # seconds after the installation
CHANGING = ("seconds", "attempts")


def environment(home: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RUNNER_", "VIRTUAL_ENV", "PYTHON"))}
    return kept | {"HOME": str(home)}


def make(clone: Path, target: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", target], cwd=clone, env=environment(home), capture_output=True, text=True, timeout=3600
    )


def results(root: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for path in root.glob("demo/runs/*/result.json"):
        content = json.loads(path.read_text())
        found[path.parent.name] = {key: value for key, value in content.items() if key not in CHANGING}
    return found


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone, installed, in which `make demo` has run; `demo.log` and `demo.seconds` lie in it."""
    folder = tmp_path_factory.mktemp("stranger")
    home = tmp_path_factory.mktemp("home")
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(folder / "clone")], check=True)
    installed = make(folder / "clone", "install", home)
    assert installed.returncode == 0, installed.stderr
    began = time.monotonic()
    done = make(folder / "clone", "demo", home)
    (folder / "clone" / "demo.seconds").write_text(str(time.monotonic() - began))
    (folder / "clone" / "demo.log").write_text(done.stdout + done.stderr)
    assert done.returncode == 0, done.stderr
    return folder / "clone"


def test_demo_ends_with_a_ranked_table_of_six_variants_in_time(clone: Path) -> None:
    log = (clone / "demo.log").read_text()
    with (clone / "runs" / "demo" / "analysis" / "results_summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert all(row["variant"] in log for row in rows)
    assert "6 completed" in log
    assert float((clone / "demo.seconds").read_text()) < LONGEST


def test_every_variant_is_far_better_than_the_mean(clone: Path) -> None:
    found = results(clone / "runs")
    assert len(found) == 6
    for name, result in found.items():
        metrics = result["metrics"]
        assert metrics["test_mae"] <= SHARE_OF_MEAN * metrics["test_mae_of_mean"], name


def test_demo_on_slurm_is_one_array_with_the_same_numbers(clone: Path, slurm: SlurmCluster, tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("kind: slurm\npartition: gpu\n")
    command = [str(clone / ".venv" / "bin" / "runner"), "submit", "configs/demo.yaml", "--wait"]
    done = subprocess.run(
        [*command, "--cluster", str(site), "--root", str(tmp_path / "runs")],
        cwd=clone,
        env={**os.environ, "RUNNER_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    sent = (tmp_path / "runs" / "demo" / "submissions.jsonl").read_text()
    assert sent.count('"event": "sent"') == 1
    assert results(tmp_path / "runs") == results(clone / "runs")
