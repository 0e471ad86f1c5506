"""manifest.json, submissions.jsonl, and the lock between two submissions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.config.experiment_file import load
from runner.errors import CommandFailed, UserError
from runner.files import read_mapping, write_json
from runner.matrix.expansion import Expansion, expand
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir
from runner.rundir.manifest import Origin, submit_lock
from tiny_task import TinyTask


@pytest.fixture
def directory(tmp_path: Path) -> ExperimentDir:
    return ExperimentDir(tmp_path / "runs" / "e")


def expansion(tmp_path: Path, text: str = "") -> Expansion:
    (tmp_path / "e.yaml").write_text(f"experiment: e\ntask: tiny_task:TinyTask\n{text}\n")
    return expand(load(tmp_path / "e.yaml"), TinyTask.Params, "train.seed")


def test_manifest_lists_the_runs_and_what_ranks_them(tmp_path: Path, directory: ExperimentDir) -> None:
    text = """
description: wörds
matrix: {axes: {train.epochs: [1, 2]}, seeds: [0, 1]}
baseline: epochs=2
select: {metric: val_loss, mode: min, within: 2%, ratio: [2, 8]}
health: {spike: 3, contribution_bands: true}
target_mae: {good: 0.1, acceptable: 0.2}
next: {config: configs/stage2.yaml, top: 2}
"""
    found = expansion(tmp_path, text)
    manifest.write(directory, found, "tiny_task:TinyTask")
    content = json.loads(directory.manifest.read_text())  # that any reader takes
    assert content["runs"][0] == {
        "run_id": found.runs[0].run_id, "variant": "epochs=1", "seed": 0, "axes": {"train.epochs": 1},
        "params": found.runs[0].params,
    }  # fmt: skip
    assert content["select"] == {"metric": "val_loss", "mode": "min", "within": 0.02, "ratio": [2.0, 8.0]}
    assert content["health"] == {"spike": 3.0, "contribution_bands": True}
    assert content["target_mae"] == {"good": 0.1, "acceptable": 0.2}
    assert content["next"] == {"config": "configs/stage2.yaml", "top": 2}
    assert (content["baseline"], content["axes"], content["description"]) == ("epochs=2", ["train.epochs"], "wörds")


def test_what_is_written_is_read(tmp_path: Path, directory: ExperimentDir) -> None:
    found = expansion(tmp_path, "matrix: {seeds: [0, 1]}")
    manifest.write(directory, found, "tiny_task:TinyTask")
    read = manifest.read(directory)
    assert (read.experiment, read.task) == ("e", "tiny_task:TinyTask")
    assert [(run.number, run.run_id, run.seed) for run in read.runs] == [
        (run.number, run.run_id, run.seed) for run in found.runs
    ]


def test_time_of_the_first_submission_is_kept(tmp_path: Path, directory: ExperimentDir) -> None:
    manifest.write(directory, expansion(tmp_path), "t")
    created = read_mapping(directory.manifest)["created"]
    manifest.write(directory, expansion(tmp_path, "matrix: {seeds: [5]}"), "t")
    content = read_mapping(directory.manifest)
    assert content["created"] == created < content["updated"]
    assert [run["seed"] for run in content["runs"]] == [5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"has no manifest\.json: not the directory of an experiment, or .*\n  next: runner submit CONFIG"),
        ("{half", r"manifest\.json is damaged: truncated, or not a manifest"),
        ("", "is damaged"),
        ("[]", "is damaged"),
        ('{"runs": 3}', "is damaged"),
        ('{"runs": [{"run_id": "../a"}]}', r"is damaged: .*\n  next: runner submit CONFIG"),
        ('{"runs": [3], "experiment": "e", "task": "t"}', "is damaged"),
    ],
)
def test_missing_or_damaged_manifest_is_said(directory: ExperimentDir, content: str | None, message: str) -> None:
    directory.path.mkdir(parents=True)
    if content is not None:
        directory.manifest.write_text(content)
    with pytest.raises(UserError, match=message):
        manifest.read(directory)


def test_a_damaged_run_is_left_out_and_counted(directory: ExperimentDir, capsys: pytest.CaptureFixture[str]) -> None:
    whole = {"run_id": "a-s0", "seed": "x", "axes": 3}
    write_json(directory.manifest, {"runs": [3, whole, {"run_id": 7}], "select": {"metric": 5}, "retry": []})
    content = manifest.read(directory)
    assert [(run.number, run.run_id, run.variant, run.seed, run.axes) for run in content.runs] == [
        (2, "a-s0", "a-s0", None, {})
    ]
    assert (content.experiment, content.select.metric, content.retry) == ("e", "val_mae", {})
    assert "2 runs are damaged and left out" in capsys.readouterr().err


def submission(directory: ExperimentDir, number: int, **more: object) -> None:
    directory.submission(number).mkdir(parents=True)
    write_json(directory.pool_tasks(number), {"tasks": [["a", "b"], ["c"]]})
    origin = {"overrides": [], "cluster": "local", "folder": "/here"}
    manifest.log_submission(directory, {"submission": number, "event": "begun", "kind": "slurm", **origin, **more})


def test_submissions_tell_their_tasks_and_arrays(directory: ExperimentDir) -> None:
    submission(directory, 1)
    sending = {"submission": 1, "event": "sending", "count": 1}
    manifest.log_submission(directory, {**sending, "token": "t1", "first": 0})
    manifest.log_submission(directory, {"submission": 1, "event": "sent", "token": "t1", "job_id": 17})
    manifest.log_submission(directory, {**sending, "token": "t2", "first": 1})
    (sent,) = manifest.submissions(directory)
    assert (sent.number, sent.kind, sent.tasks) == (1, "slurm", [["a", "b"], ["c"]])
    assert [(chunk.token, chunk.first, chunk.count, chunk.job_id) for chunk in sent.chunks] == [
        ("t1", 0, 1, "17"), ("t2", 1, 1, None)
    ]  # fmt: skip
    assert sent.origin == Origin(overrides=[], cluster="local", folder="/here")


def test_a_half_written_line_hides_no_other(directory: ExperimentDir) -> None:
    assert (manifest.next_number(directory), manifest.submissions(directory)) == (1, [])
    submission(directory, 1)
    with directory.submission_log.open("a") as log:
        log.write('{"submission": 1, "event": "send')
    submission(directory, 2)
    assert [sent.number for sent in manifest.submissions(directory)] == [1, 2]
    assert manifest.next_number(directory) == 3


def test_a_second_submission_is_refused_while_the_first_goes_on(directory: ExperimentDir) -> None:
    with submit_lock(directory):
        expected = r"submission of e is under way \(process \d+ on .*\); nothing was submitted\n  next: runner status e"
        with pytest.raises(CommandFailed, match=expected), submit_lock(directory):
            raise AssertionError("two held it")
    with submit_lock(directory):
        pass
