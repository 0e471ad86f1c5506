"""Retries and the funnel: resubmit, failures, promote, supervise; on the local pool and on a real Slurm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.config import experiment_file
from runner.files import read_json, read_json_lines
from runner.rundir.layout import ExperimentDir
from runner.rundir.processes import start_time
from slurm_cluster import SlurmCluster
from tiny_experiment import wait_until
from tiny_search import runner, site, stage, states


def funnel(folder: Path) -> Path:
    """Three stages: the best two go on, then the best one; the path of the first."""
    stage(folder, "three", matrix={"seeds": [0, 1]})
    stage(folder, "two", matrix={"axes": {"train.epoch_seconds": [0.0, 0.01]}}, next={"config": "three.yaml", "top": 1})
    return stage(folder, "one", next={"config": "two.yaml", "top": 2})


def test_promote_refuses_an_incomplete_stage(tmp_path: Path) -> None:
    stage(tmp_path, "two")
    first = stage(tmp_path, "one", params={"mischief": "raise"}, next={"config": "two.yaml", "top": 2})
    runner("submit", first, "--wait", root=tmp_path)
    refused = runner("promote", "one", root=tmp_path)
    assert refused.returncode == 2
    assert "one is not complete (3 failed)" in refused.stderr
    assert "--incomplete" in refused.stderr


def test_promoted_variants_meet_the_axes_of_the_template_and_say_where_they_come_from(tmp_path: Path) -> None:
    assert runner("submit", funnel(tmp_path), "--wait", root=tmp_path).returncode == 0
    done = runner("promote", "one", root=tmp_path)
    assert done.returncode == 0, done.stderr
    written = experiment_file.load(tmp_path / "two" / "experiment.yaml").experiment
    assert list(written.matrix.named) == [
        "epochs-1--epoch_seconds-0.0",
        "epochs-1--epoch_seconds-0.01",
        "epochs-2--epoch_seconds-0.0",
        "epochs-2--epoch_seconds-0.01",
    ]
    assert written.matrix.named["epochs-2--epoch_seconds-0.01"] == {"train.epochs": 2, "train.epoch_seconds": 0.01}
    assert written.promoted["epochs-1--epoch_seconds-0.0"]["experiment"] == "one"
    assert written.promoted["epochs-1--epoch_seconds-0.0"]["rank"] == 1


def test_supervised_funnel_ends_with_the_last_summary(tmp_path: Path) -> None:
    sent = runner("submit", funnel(tmp_path), "--supervise", root=tmp_path)
    assert sent.returncode == 0, sent.stderr
    wait_until((tmp_path / "three" / "analysis" / "results_summary.csv").exists, 90, "the summary of stage three")
    assert [len(states(tmp_path, name)) for name in ("one", "two", "three")] == [3, 4, 2]


def test_supervisor_keeps_to_the_runs_that_only_chose(tmp_path: Path) -> None:
    chosen = ("--only", "epochs=1", "--only", ":3")
    assert runner("submit", funnel(tmp_path), "--supervise", *chosen, root=tmp_path).returncode == 0
    log = tmp_path / "one" / "supervisor.log"
    wait_until(lambda: log.exists() and "no next stage, since --only left out" in log.read_text(), 60, "its end")
    assert [state for state, _ in states(tmp_path, "one")] == ["completed", "new", "completed"]


def test_cancelling_everything_ends_the_local_supervisor_too(tmp_path: Path) -> None:
    runner("submit", stage(tmp_path, "one", params={"mischief": "wait"}), "--supervise", root=tmp_path)
    follower = wait_until(lambda: read_json(tmp_path / "one" / "supervisor.json"), 20, "the supervisor")
    assert start_time(follower["pid"]) == follower["start_time"]
    assert "3 runs cancelled" in runner("cancel", "one", root=tmp_path).stderr
    wait_until(lambda: start_time(follower["pid"]) is None, 20, "the end of the supervisor")
    assert not (tmp_path / "one" / "analysis").exists()


@pytest.mark.slurm
def test_slurm_carries_the_funnel_to_its_end(slurm: SlurmCluster, tmp_path: Path) -> None:
    sent = runner("submit", funnel(tmp_path), "--cluster", site(tmp_path), "--supervise", root=tmp_path)
    assert sent.returncode == 0, sent.stderr
    wait_until((tmp_path / "three" / "analysis" / "results_summary.csv").exists, 150, "the summary of stage three")
    for name in ("one", "two", "three"):
        assert {state for state, _ in states(tmp_path, name)} == {"completed"}


def test_failure_that_needs_a_person_is_listed_and_only_forced(tmp_path: Path) -> None:
    config = stage(tmp_path, "one", matrix={"named": {"good": {}, "bad": {"mischief": "raise", "first_attempts": 1}}})
    ended = runner("submit", config, "--wait", root=tmp_path)
    assert ended.returncode == 1
    assert "1 run did not complete" in ended.stderr
    shown = runner("failures", "one", root=tmp_path).stdout
    assert "failed (exception), attempt 1" in shown
    assert "runner resubmit one --kind exception --force" in shown
    held = runner("resubmit", "one", root=tmp_path)
    assert "not retried by the policy" in held.stderr
    forced = runner("resubmit", "one", "--kind", "exception", "--force", "--wait", root=tmp_path)
    assert forced.returncode == 0, forced.stderr
    assert states(tmp_path, "one") == [("completed", None)] * 2


def test_killed_run_is_retried_by_a_plain_submit(tmp_path: Path) -> None:
    matrix = {"named": {"good": {}, "bad": {"mischief": "kill", "first_attempts": 1}}}
    config = stage(tmp_path, "one", matrix=matrix)
    assert runner("submit", config, "--wait", root=tmp_path).returncode == 1
    assert ("failed", "killed") in states(tmp_path, "one")
    again = runner("submit", config, "--wait", root=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "sent 1 run in 1 array task" in again.stderr


def test_unknown_kind_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    runner("submit", stage(tmp_path, "one"), "--wait", root=tmp_path)
    refused = runner("resubmit", "one", "--kind", "timeuot", root=tmp_path)
    assert refused.returncode == 2
    assert "did you mean: timeout" in refused.stderr


@pytest.mark.slurm
def test_runs_that_ran_out_get_more_in_arrays_of_their_own(slurm: SlurmCluster, tmp_path: Path) -> None:
    wrong = {"mischief": "raise", "first_attempts": 1}
    matrix = {"named": {"good": {}, "memory": {**wrong, "train.epochs": 4}, "time": {**wrong, "train.epochs": 5}}}
    config = stage(tmp_path, "one", matrix=matrix)
    runner("submit", config, "--cluster", site(tmp_path), "--wait", root=tmp_path)
    directory = ExperimentDir(tmp_path / "one")
    for path in directory.runs.iterdir():
        if kind := {"memory": "out_of_memory", "time": "timeout"}.get(path.name.partition("-")[0]):
            run = directory.run(path.name)
            ended = {"attempt": 1, "ended": 1.0, "outcome": "failed", "seconds": 1.0, "kind": kind}
            lines = [line for line in read_json_lines(run.attempts) if "ended" not in line]
            run.attempts.write_text("".join(json.dumps(line) + "\n" for line in [*lines, ended]))
            failure = {**(read_json(run.failure) or {}), "kind": kind}
            run.failure.write_text(json.dumps(failure))
    again = runner("resubmit", "one", "--wait", root=tmp_path)
    assert "sent 2 runs in 2 array tasks" in again.stderr
    scripts = [path.read_text() for path in (directory.submission(2) / "slurm").glob("*submission.sh")]
    assert len(scripts) == 2
    assert sum("--mem=750M" in script for script in scripts) == 1
    assert sum("--time=8" in script for script in scripts) == 1
