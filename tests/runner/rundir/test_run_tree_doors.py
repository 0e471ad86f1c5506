"""Nothing is written through a link out of an experiment, nobody waits for a pipe, nothing endless is read."""

from __future__ import annotations

import ast
import os
import time
from pathlib import Path

import pytest

from damaged_runs import answer
from jobs.node.allocation import Allocation
from jobs.node.preflight import Refused, StartConditions, begin
from jobs.node.slots import Slot
from runner.errors import CommandFailed
from runner.files import append_line, read_json, refuse_links
from runner.rundir.layout import ExperimentDir, RunDir
from runner.submit.schedulers import local
from tiny_search import rows, runner, runs, stage

REPOSITORY = Path(__file__).parents[3]


def test_a_line_is_not_appended_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("mine\n")
    (tmp_path / "attempts.jsonl").symlink_to("outside")
    with pytest.raises(OSError, match="a link, which is not followed"):
        append_line(tmp_path / "attempts.jsonl", "x")
    assert (tmp_path / "outside").read_text() == "mine\n"


def test_a_pipe_is_neither_read_nor_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "failure.json")
    began = time.monotonic()
    assert read_json(tmp_path / "failure.json") is None
    with pytest.raises(OSError, match="a pipe, a socket or a device"):
        append_line(tmp_path / "failure.json", "x")
    assert time.monotonic() - began < 5


def test_twenty_gigabytes_of_nothing_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "result.json").open("wb") as file:
        file.truncate(20 * 10**9)
    assert read_json(tmp_path / "result.json") is None


@pytest.mark.parametrize("place", ["runs", "runs/{run}", "runs/{run}/logs", "submissions", "code", "submissions.jsonl"])
def test_submit_and_resubmit_write_nothing_where_a_link_leads_out(place: str, tmp_path: Path) -> None:
    config = stage(tmp_path, "small", matrix={"axes": {"train.epochs": [1]}})
    assert runner("submit", config, "--wait", root=tmp_path).returncode == 0
    run = next(iter(runs(tmp_path, "small").values()))
    while local.report(ExperimentDir(tmp_path / "small"), 1) is not None:
        time.sleep(0.1)  # the pool says its last words
    (run.path / "result.json").unlink()
    target, outside = tmp_path / "small" / place.format(run=run.run_id), tmp_path / "outside"
    target.rename(outside)
    target.symlink_to(outside)
    before = {path: path.lstat().st_mtime_ns for path in [outside, *outside.rglob("*")]}
    done = runner("submit", config, root=tmp_path)
    assert done.returncode == 1
    assert target.name in done.stderr
    again = runner("resubmit", "small", "--force", root=tmp_path)
    assert "Traceback" not in done.stderr + again.stderr
    assert {path: path.lstat().st_mtime_ns for path in [outside, *outside.rglob("*")]} == before


def test_a_worker_starts_no_run_whose_folder_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "e" / "runs").mkdir(parents=True)
    run = RunDir(tmp_path / "e" / "runs" / "a-s0-00000000")
    run.path.symlink_to(tmp_path / "outside")
    refused = begin(run, StartConditions(Allocation.from_environment({}, 0.0), 1.0, Slot()))
    assert isinstance(refused, Refused)
    assert "is a link" in refused.why
    assert list((tmp_path / "outside").iterdir()) == []


def test_an_experiment_that_is_itself_a_link_is_submitted_to(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "scratch")
    config = stage(tmp_path, "small", matrix={"axes": {"train.epochs": [1]}})
    assert runner("submit", config, "--wait", root=tmp_path / "runs").returncode == 0
    assert [row["state"] for row in rows(tmp_path / "runs", "small")] == ["completed"]


def test_links_are_named(tmp_path: Path) -> None:
    (tmp_path / "logs").symlink_to(tmp_path)
    with pytest.raises(CommandFailed, match="logs is a link; nothing is written through it"):
        refuse_links(tmp_path, tmp_path / "logs")


# What people name, what lies in the cache, what the kernel shows; every other file goes through runner/files.py
PLAIN = {
    "runner/files.py", "runner/terminal.py", "runner/config/cluster.py", "runner/config/field_comments.py",
    "runner/rundir/processes.py", "runner/rundir/checkout.py",
    "jobs/node/submitted.py",  # code; submitit's own file
    "runner/submit/snapshot.py", "runner/commands/init.py", "runner/commands/doctor.py", "runner/console.py",
    "jobs/node/memory.py", "jobs/node/provenance.py", "jobs/content_cache.py", "jobs/tasks/command/scripts.py",
    "jobs/node/probe.py", "jobs/node/disk_reserve.py", "analysis/output/writing.py", "analysis/output/report.py",
}  # fmt: skip
OPENING = ("open", "read_text", "read_bytes", "write_text", "write_bytes")


def test_files_of_a_run_are_opened_in_one_module() -> None:
    plain = set()
    for package in ("runner", "jobs", "analysis"):
        for path in (REPOSITORY / package).rglob("*.py"):
            name = path.relative_to(REPOSITORY).as_posix()
            if name.startswith(("jobs/tasks/crystal/", "jobs/tasks/sentiment/", "runner/starters/")):
                continue  # data sets and caches
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                    ours = isinstance(node.func, ast.Name) and called != "open"  # from runner.files
                    module = ast.unparse(node.func).partition(".")[0]
                    if called in OPENING and not ours and module not in ("files", "reading", "os"):
                        plain.add(name)
    replaced = {"runner/commands/prepare.py", "runner/commands/bundle.py"}  # write to what `replacing` yields
    assert plain - PLAIN - replaced <= {"analysis/tools/alpha.py"}  # the same


def test_planted_pipes_do_not_keep_status_and_summarize(tmp_path: Path) -> None:
    assert runner("submit", stage(tmp_path, "small"), "--wait", root=tmp_path).returncode == 0
    directory = ExperimentDir(tmp_path / "small")
    for run in runs(tmp_path, "small").values():
        for name in ("result.json", "heartbeat.json", "metrics.jsonl", "attempts.jsonl", "config.yaml"):
            (run.path / name).unlink(missing_ok=True)
            os.mkfifo(run.path / name)
    began = time.monotonic()
    for program, words in (
        ("runner", ("status",)), ("runner", ("failures",)), ("analysis", ("summarize", "--all", "--no-report"))
    ):  # fmt: skip
        status, out, err = answer(program, words[0], directory.path, *words[1:])
        assert status in (0, 1), err
    assert "result.json cannot be read" in out + err
    assert time.monotonic() - began < 25
