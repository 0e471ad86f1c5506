"""What Slurm is asked for, counted: one sbatch an array, one squeue a look, nothing in the pickles."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slurm_cluster import SlurmCluster
from tiny_experiment import TESTS, environment
from tiny_search import runner, site, stage, states

pytestmark = pytest.mark.slurm


def counted(folder: Path) -> dict[str, str]:
    """A PATH on which sbatch and squeue leave a line for each call."""
    folder.mkdir()
    for name in ("sbatch", "squeue"):
        script = f'#!/bin/sh\necho >> {folder / name}.calls\nexec {shutil.which(name)} "$@"\n'
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def calls(folder: Path, name: str) -> int:
    path = folder / f"{name}.calls"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_thousand_runs_are_one_sbatch_with_small_pickles(slurm: SlurmCluster, tmp_path: Path) -> None:
    config = stage(tmp_path, "many", matrix={"seeds": list(range(1000))})
    path = counted(tmp_path / "bin")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    sent = runner("submit", config, "--cluster", site(tmp_path, "sbatch: {hold: true}\n"), root=tmp_path, **path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "sent 1,000 runs in 1,000 array tasks" in sent.stderr
    assert calls(tmp_path / "bin", "sbatch") == 1
    pickles = list((tmp_path / "many" / "submissions" / "1" / "slurm").glob("*.pkl"))
    assert len(pickles) == 1000
    assert max(pickle.stat().st_size for pickle in pickles) < 2000
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10  # s, which other work leaves alone


def test_slurm_is_asked_once_a_status_and_while_watching_every_thirty_seconds(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    path, bin_ = counted(tmp_path / "bin"), tmp_path / "bin"
    runner("submit", stage(tmp_path, "one"), "--cluster", site(tmp_path, "sbatch: {hold: true}\n"), root=tmp_path)
    runner("status", "one", root=tmp_path, **path)
    assert calls(bin_, "squeue") == 1
    command = [sys.executable, "-P", "-m", "runner.cli", "status", "one", "--watch", "--root", str(tmp_path)]
    watching = subprocess.Popen(command, env=environment(**path), cwd=TESTS, stderr=subprocess.PIPE, text=True)
    assert watching.stderr is not None
    assert "3 queued" in watching.stderr.readline()
    time.sleep(4)
    assert watching.poll() is None
    watching.terminate()
    watching.communicate()
    assert calls(bin_, "squeue") == 2


def test_slurm_is_not_asked_about_what_is_completed(slurm: SlurmCluster, tmp_path: Path) -> None:
    path = counted(tmp_path / "bin")
    runner("submit", stage(tmp_path, "one"), "--cluster", site(tmp_path), "--wait", root=tmp_path)
    runner("status", "one", root=tmp_path, **path)
    assert calls(tmp_path / "bin", "squeue") == 0
    assert states(tmp_path, "one") == [("completed", None)] * 3
