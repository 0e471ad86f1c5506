"""`runner clean` removes what it says and nothing of a live run; `runner bundle` opens elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from experiment_factory import Plan, PlannedVariant, write_experiment
from runner.commands.bundle import bundle
from runner.errors import CommandFailed
from runner.files import write_json
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir, RunDir
from runner_main import run
from tiny_experiment import environment, parent_command, wait_until, write_run

STATES = {0: "completed", 1: "failed", 2: "running"}


@pytest.fixture
def experiment(tmp_path: Path) -> ExperimentDir:
    """A completed, a failed and a running run, and one that the file no longer has; each with checkpoints."""
    plan = Plan([PlannedVariant("a", states=STATES)], name="e")
    directory = ExperimentDir(write_experiment(tmp_path / "runs", plan))
    (directory.run("left-over").path).mkdir()
    for path in directory.runs.iterdir():
        for checkpoint in (RunDir(path).last_checkpoint, RunDir(path).best_checkpoint):
            checkpoint.write_bytes(b"x" * 1000)
    return directory


def of_seed(directory: ExperimentDir, seed: int) -> RunDir:
    return directory.run(next(run.run_id for run in manifest.read(directory).runs if run.seed == seed))


def test_without_a_choice_clean_says_what_there_is_to_choose(experiment: ExperimentDir) -> None:
    said = run("clean", experiment.path)
    assert said.status == 2
    assert "--checkpoints: last.pt and best.pt of completed runs" in said.err
    assert of_seed(experiment, 0).best_checkpoint.exists()


def test_checkpoints_of_completed_runs_are_removed_and_nothing_else(experiment: ExperimentDir) -> None:
    said = run("clean", experiment.path, "--checkpoints", "--dry-run")
    assert (said.status, of_seed(experiment, 0).last_checkpoint.exists()) == (0, True)
    assert "nothing was removed (--dry-run)" in said.err
    said = run("clean", experiment.path, "--checkpoints")
    assert said.out.split()[-1] == of_seed(experiment, 0).run_id
    done, failed, running = (of_seed(experiment, seed) for seed in STATES)
    assert not done.last_checkpoint.exists()
    assert not done.best_checkpoint.exists()
    assert done.result.exists()
    assert not done.claim.exists()
    assert failed.last_checkpoint.exists()
    assert running.last_checkpoint.exists()


def test_failed_and_gone_runs_are_removed_as_a_whole(experiment: ExperimentDir) -> None:
    done, failed, running = (of_seed(experiment, seed) for seed in STATES)
    assert run("clean", experiment.path, "--failed").status == 0
    assert not failed.path.exists()
    assert experiment.run("left-over").path.exists()
    assert run("clean", experiment.path, "--gone").status == 0
    assert not experiment.run("left-over").path.exists()
    assert done.best_checkpoint.exists()
    assert running.path.exists()


def test_a_live_run_stays_although_it_is_gone_from_the_file(experiment: ExperimentDir) -> None:
    live = write_run(experiment.path, "live", train={"epochs": 1000, "epoch_seconds": 0.05})
    parent = subprocess.Popen(parent_command(live), env=environment(), stdout=subprocess.DEVNULL)
    try:
        wait_until(live.last_checkpoint.exists, what="its checkpoint")
        assert run("clean", experiment.path, "--gone", "--failed", "--checkpoints").status == 0
        assert live.last_checkpoint.exists()
        assert not experiment.run("left-over").path.exists()
    finally:
        parent.terminate()
        parent.wait(timeout=60)


def test_nothing_is_removed_through_a_link(experiment: ExperimentDir, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_text("mine")
    done, failed = of_seed(experiment, 0), of_seed(experiment, 1)
    done.last_checkpoint.unlink()
    done.last_checkpoint.symlink_to(outside / "mine")
    (failed.path / "linked").symlink_to(outside)
    (experiment.runs / "linked-run").symlink_to(outside)
    assert run("clean", experiment.path, "--gone", "--failed", "--checkpoints").status == 0
    assert (outside / "mine").read_text() == "mine"
    assert (experiment.runs / "linked-run").is_symlink()
    assert not os.path.lexists(done.last_checkpoint)


def test_an_experiment_whose_runs_are_a_link_is_refused(experiment: ExperimentDir, tmp_path: Path) -> None:
    experiment.runs.rename(tmp_path / "elsewhere")
    experiment.runs.symlink_to(tmp_path / "elsewhere")
    said = run("clean", experiment.path, "--checkpoints")
    assert said.status == 1
    assert "is a link" in said.err


def test_a_bundle_is_summarised_elsewhere_as_here(experiment: ExperimentDir, tmp_path: Path) -> None:
    run_of = of_seed(experiment, 0)
    write_json(run_of.private, {"environment": {"SECRET": "hush"}})
    (run_of.path / "pipe").mkdir()
    os.mkfifo(run_of.path / "fifo")
    (run_of.path / "link").symlink_to("/etc/hostname")
    said = run("bundle", experiment.path, "-o", tmp_path / "e.tar.gz")
    assert (said.status, said.out.strip()) == (0, str(tmp_path / "e.tar.gz"))
    assert "2 files left out" in said.err
    with tarfile.open(tmp_path / "e.tar.gz") as packed:
        names = packed.getnames()
        packed.extractall(tmp_path / "there", filter="data")
    assert not [name for name in names if name.endswith((".pt", run_of.private.name, "fifo", "link"))]
    assert all(name.startswith("e/") for name in names)
    here, there = (summarised(path) for path in (experiment.path, tmp_path / "there" / "e"))
    assert here == there


def summarised(path: Path) -> list[dict[str, object]]:
    from analysis.output.records import to_json
    from analysis.rank.summary import summarize

    variants: list[dict[str, object]] = json.loads(json.dumps(to_json(summarize(path))))["variants"]
    return variants


def test_a_bundle_overwrites_nothing_and_is_whole_or_not_there(experiment: ExperimentDir, tmp_path: Path) -> None:
    (tmp_path / "e.tar.gz").write_text("mine")
    said = run("bundle", experiment.path, "-o", tmp_path / "e.tar.gz")
    assert (said.status, (tmp_path / "e.tar.gz").read_text()) == (2, "mine")
    inside = run("bundle", experiment.path, "-o", experiment.path / "e.tar.gz")
    assert "lies inside the experiment" in inside.err
    with pytest.raises(CommandFailed, match="no archive was written"):
        bundle(experiment, Path("/proc/nowhere/e.tar.gz"))
