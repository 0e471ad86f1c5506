"""What may pass is retried until it is finished; what needs a person is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.files import read_json, read_json_lines
from runner.rundir.layout import ExperimentDir
from slurm_cluster import SlurmCluster
from tiny_experiment import wait_until
from tiny_search import runner, runs, site, stage, states

pytestmark = pytest.mark.slurm

# With the 50 to 120 MiB of the processes: first near the limit of 800M, long enough to be noticed, then between it and
# that of the second attempt.
MEMORY = {"mischief": "memory", "allocate_mib": 900, "at_epoch": 2}
GPU_MEMORY = {"mischief": "gpu_memory", "at_epoch": 2}


def ended(root: Path, name: str) -> dict[str, list[str | None]]:
    """Variant → kind of failure of each attempt, None for the one that completed."""
    lines = {variant: read_json_lines(run.attempts) for variant, run in runs(root, name).items()}
    return {variant: [line.get("kind") for line in its if "ended" in line] for variant, its in lines.items()}


def losses(root: Path, name: str) -> dict[str, float]:
    """Run id → loss of the completed runs."""
    results = (read_json(path) for path in ExperimentDir(root / name).runs.glob("*/result.json"))
    return {result["run_id"]: result["metrics"]["val_loss"] for result in results}


def test_two_kinds_of_memory_are_told_apart_and_the_supervisor_finishes_both(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    matrix = {"named": {"good": {}, "host": MEMORY, "gpu": GPU_MEMORY}}
    config = stage(tmp_path, "one", matrix=matrix, resources={"memory": "800M", "time": "5m"})
    sent = runner("submit", config, "--cluster", site(tmp_path), "--supervise", root=tmp_path)
    assert sent.returncode == 0, sent.stderr
    wait_until((tmp_path / "one" / "analysis" / "results_summary.csv").exists, 120, "the summary")
    assert states(tmp_path, "one") == [("completed", None)] * 3
    found = ended(tmp_path, "one")
    assert found == {"good": [None], "host": ["out_of_memory", None], "gpu": ["gpu_out_of_memory", None]}
    assert len(set(losses(tmp_path, "one").values())) == 1  # the same three epochs, interrupted or not
    scripts = [path.read_text() for path in (tmp_path / "one" / "submissions" / "2" / "slurm").glob("*submission.sh")]
    assert sorted("--mem=1200M" in script for script in scripts) == [False, True]


def test_third_equal_mistake_stops_the_array(slurm: SlurmCluster, tmp_path: Path) -> None:
    config = stage(
        tmp_path, "one", params={"mischief": "raise"}, matrix={"seeds": list(range(6))}, array={"max_parallel": 1}
    )
    done = runner("submit", config, "--cluster", site(tmp_path), "--wait", root=tmp_path)
    assert done.returncode == 1
    assert sorted(states(tmp_path, "one")) == [("cancelled", "cancelled")] * 3 + [("failed", "exception")] * 3
    again = runner("submit", config, "--cluster", site(tmp_path), root=tmp_path)
    assert "nothing to send" in again.stderr
    assert "3 runs of this experiment failed in the same way" in runner("failures", "one", root=tmp_path).stdout


def test_mistakes_keep_their_kinds_and_are_not_retried(slurm: SlurmCluster, tmp_path: Path) -> None:
    named = {"diverged": {"mischief": "nan"}, "exception": {"mischief": "raise"}, "data_missing": {"mischief": "data"}}
    config = stage(tmp_path, "one", matrix={"named": {"good": {}, **named}})
    runner("submit", config, "--cluster", site(tmp_path), "--wait", root=tmp_path)
    assert ended(tmp_path, "one") == {"good": [None], **{kind: [kind] for kind in named}}
    again = runner("submit", config, "--cluster", site(tmp_path), root=tmp_path)
    assert "nothing to send" in again.stderr
    assert "runner resubmit one --force" in again.stderr


def test_site_without_requeue_gets_a_new_array_instead(slurm: SlurmCluster, tmp_path: Path) -> None:
    config = stage(tmp_path, "one", params={"mischief": "wait", "at_epoch": 2, "first_attempts": 1}, matrix={})
    runner("submit", config, "--cluster", site(tmp_path, "requeue: false\n"), "--supervise", root=tmp_path)
    ((variant, run),) = runs(tmp_path, "one").items()
    job = wait_until(lambda: (read_json(run.heartbeat) or {}).get("epoch") and read_json(run.heartbeat), 60)["job_id"]
    slurm.control("timeout-now", job, "60")
    wait_until(lambda: ended(tmp_path, "one") == {variant: ["timeout", None]}, 120, "the second attempt's end")
    assert run.result.exists()
    assert read_json(run.heartbeat)["job_id"] != job
    assert "Restarts=0" in slurm.run("scontrol", "show", "job", job)
