"""Queued runs that Slurm, a colleague or a person loses sight of."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_runtime_slurm import heartbeat_at, outcomes

from jobs.failure import Kind
from runner.files import read_json_lines
from runner.rundir.attempts import ended_attempts
from slurm_cluster import SlurmCluster
from tiny_experiment import TESTS, environment, wait_until, write_run
from tiny_search import runner, site, stage, states

pytestmark = pytest.mark.slurm

HELD = "sbatch: {hold: true}\n"
COLLEAGUE = "runner-colleague"


def jobs_of(root: Path) -> list[str]:
    return [line["job_id"] for line in read_json_lines(root / "one" / "submissions.jsonl") if "job_id" in line]


def test_three_preemptions_and_two_time_limits_with_progress_end_completed(slurm: SlurmCluster, tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", train={"epochs": 60, "epoch_seconds": 1.5})
    job = slurm.submit([[directory]], signal_delay_s=60)
    epoch = 0
    for attempt in range(1, 6):
        epoch = heartbeat_at(directory, epoch + 1, attempt)["epoch"]
        if attempt <= 3:
            slurm.run("scontrol", "requeue", job)
        else:
            slurm.control("timeout-now", job, "60")  # which shortens the limit for good
        wait_until(lambda number=attempt: len(outcomes(directory)) == number, 90, f"the end of attempt {attempt}")
        slurm.run("scontrol", "update", f"jobid={job}", "timelimit=10")
        epoch = read_json_lines(directory.metrics)[-1]["epoch"]
    slurm.wait_for(job, "COMPLETED", seconds=150)
    assert [kind for _, kind in outcomes(directory)] == ["preempted"] * 3 + ["timeout"] * 2 + [None]


def test_slurms_own_words_say_that_memory_was_the_reason(slurm: SlurmCluster, tmp_path: Path) -> None:
    """Although neither the parent nor a heartbeat could."""
    directory = write_run(tmp_path / "exp", mischief="hoard", allocate_mib=850)
    job = slurm.submit([[directory]], mem="1000M", stderr_to_stdout=True)
    slurm.wait_for(job, "FAILED", "OUT_OF_MEMORY", "CANCELLED")
    folder = directory.experiment.slurm_logs(1)
    folder.mkdir()
    shutil.copy(directory.experiment.submission(1) / f"{job}_0_log.out", folder)  # where `runner submit` has it
    begun = [line for line in read_json_lines(directory.attempts) if "ended" not in line]
    directory.attempts.write_text(f'{{"attempt": 1, "time": 1.0, "job_id": "{begun[0]["job_id"]}"}}\n')
    for path in (directory.failure, directory.heartbeat):
        path.unlink(missing_ok=True)
    assert [attempt.kind for attempt in ended_attempts(directory)] == [Kind.OUT_OF_MEMORY]


def test_what_a_person_takes_from_the_queue_is_not_sent_again(slurm: SlurmCluster, tmp_path: Path) -> None:
    config = stage(tmp_path, "one")
    cluster = site(tmp_path, HELD)
    runner("submit", config, "--cluster", cluster, root=tmp_path)
    slurm.run("scancel", f"{jobs_of(tmp_path)[0]}_1")
    assert states(tmp_path, "one") == [("queued", None), ("cancelled", "cancelled"), ("queued", None)]
    again = runner("submit", config, "--cluster", cluster, root=tmp_path)
    assert "nothing to send" in again.stderr
    assert "cancelled; not sent again by itself" in again.stderr
    sent = runner("resubmit", "one", "--force", root=tmp_path)
    assert "sent 1 run" in sent.stderr


def test_runs_gone_from_the_file_are_named_and_can_be_cancelled(slurm: SlurmCluster, tmp_path: Path) -> None:
    cluster = site(tmp_path, HELD)
    runner("submit", stage(tmp_path, "one"), "--cluster", cluster, root=tmp_path)
    fewer = stage(tmp_path, "one", matrix={"axes": {"train.epochs": [1, 2]}})
    again = runner("submit", fewer, "--cluster", cluster, root=tmp_path)
    assert "gone from the experiment file, and still queued or running: epochs-3" in again.stderr
    assert "gone from the experiment file" in runner("status", "one", root=tmp_path).stdout
    assert runner("cancel", "one", "--state", "gone", root=tmp_path).stdout.startswith("epochs-3")
    assert slurm.run("squeue", "-r", "-h", "-o", "%K").split() == ["0", "1"]


def test_queued_runs_are_unknown_while_slurm_is_away(slurm: SlurmCluster, tmp_path: Path) -> None:
    config = stage(tmp_path, "one")
    runner("submit", config, "--cluster", site(tmp_path, HELD), root=tmp_path)
    time.sleep(6)  # slurmctld saves what it has taken within 5 s
    slurm.kill_controller()
    try:
        assert states(tmp_path, "one") == [("unknown", None)] * 3
        again = runner("submit", config, "--cluster", site(tmp_path, HELD), root=tmp_path)
        assert again.returncode == 1
        assert "nothing was submitted" in again.stderr
    finally:
        slurm.repair()
    assert states(tmp_path, "one") == [("queued", None)] * 3
    assert len(jobs_of(tmp_path)) == 1


@pytest.fixture
def colleague() -> Iterator[str]:
    """A second account of this machine."""
    if os.getuid() != 0 or shutil.which("useradd") is None:
        pytest.skip("NO SECOND USER: only root can make one, with useradd")
    made = subprocess.run(["useradd", "--no-create-home", COLLEAGUE], capture_output=True, text=True)
    if made.returncode not in (0, 9):  # 9: it is there
        pytest.skip(f"NO SECOND USER: {made.stderr}")
    yield COLLEAGUE
    if made.returncode == 0:
        subprocess.run(["userdel", COLLEAGUE], check=True)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that others may look into, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="runner-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def test_a_colleague_sees_queued_runs_and_sends_none_again(slurm: SlurmCluster, shared: Path, colleague: str) -> None:
    cluster = site(shared, HELD)
    config = stage(shared, "one")
    runner("submit", config, "--cluster", cluster, root=shared)
    subprocess.run(["chmod", "-R", "a+rwX", str(shared)], check=True)

    def theirs(*words: object) -> subprocess.CompletedProcess[str]:
        may_read = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]  # Python, wherever it lies
        command = ["setpriv", f"--reuid={colleague}", f"--regid={colleague}", "--clear-groups", *may_read]
        line = [sys.executable, "-P", "-m", "runner.cli", *map(str, words), "--root", str(shared)]
        return subprocess.run([*command, *line], capture_output=True, text=True, cwd=TESTS, timeout=120,
                              env=environment(HOME=str(shared), PYTHONDONTWRITEBYTECODE="1"))  # fmt: skip

    shown = theirs("status", "one", "--format", "json")
    assert '"counts": {"queued": 3}' in shown.stdout, shown.stderr
    sent = theirs("submit", config, "--cluster", cluster)
    assert "one: nothing to send" in sent.stderr, sent.stderr
    assert "3 queued or running" in sent.stderr
    assert len(jobs_of(shared)) == 1
