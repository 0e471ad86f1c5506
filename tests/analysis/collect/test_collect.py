import json
import os
import shutil
import time

import pytest

from analysis.collect.cache import cache_file
from analysis.collect.collection import collect
from analysis.collect.reading import json_lines, read_tail
from experiment_factory import NOW, Plan, PlannedVariant, write_experiment
from runner.errors import CommandFailed, ConfigError
from runner.files import write_json
from runner.rundir.layout import ExperimentDir
from runner.rundir.manifest import log_submission
from runner.rundir.processes import machine, start_time

ONE = PlannedVariant("2")


def one_run(tmp_path, **changes):
    """The directory of an experiment of one run, and of the run."""
    path = write_experiment(tmp_path, Plan([PlannedVariant("2", **changes)], seeds=[0]))
    return path, next(iter(ExperimentDir(path).runs.iterdir()), None)


def read(path, **options):
    (run,) = collect(path, **{"now": NOW} | options).runs
    return run


def test_a_completed_run_is_read_in_full(tmp_path):
    run = read(one_run(tmp_path, error=0.1)[0])
    assert run.state == "completed"
    assert run.result.metrics == pytest.approx({"val_mae": 0.1, "test_mae": 0.1})
    assert (run.result.best_epoch, run.result.epochs, run.record.epoch) == (9, 12, 12)
    assert run.result.fusion == {
        "2": {"w_graph": 0.6, "w_text": 0.3, "ratio": 1.6 / 0.3, "contribution_ratio": 1.6 / 0.3}
    }
    assert run.record.problems == []


@pytest.mark.parametrize(
    ("planned", "file", "content", "later", "state"),
    [
        ("lost", "cancelled.json", {}, 0, "cancelled"),
        ("failed", "failure.json", {"kind": "cancelled", "attempt": 1}, 0, "cancelled"),
        ("running", None, {}, 85, "running"),  # 90 s after its last beat
        ("running", None, {}, 86, "lost"),
        ("running", "heartbeat.json", {"attempt": 1, "time": NOW, "interval": 300}, 899, "running"),
        ("running", "heartbeat.json", {"attempt": 1, "time": NOW, "ended": True}, 0, "lost"),
        ("failed", "heartbeat.json", {"attempt": 2, "time": NOW - 5}, 0, "running"),  # started again
        ("failed", "heartbeat.json", {"attempt": 1, "time": NOW - 5}, 0, "failed"),  # a moment ago
    ],
)
def test_the_state_follows_from_files(tmp_path, planned, file, content, later, state):
    path, run = one_run(tmp_path, states={0: planned})
    if file is not None:
        (run / file).write_text(json.dumps(content))
    assert read(path, now=NOW + later).state == state


def test_a_run_that_was_begun_and_left_no_word_is_lost(tmp_path):
    path, _ = one_run(tmp_path, states={0: "new"})
    (name,) = json.loads((path / "manifest.json").read_text())["runs"]
    (path / "runs" / name["run_id"]).mkdir(parents=True)
    assert read(path).state == "new"
    (path / "runs" / name["run_id"] / "config.yaml").write_text("task: crystal\n")
    assert read(path).state == "new"  # it is just being sent
    (path / "runs" / name["run_id"] / "attempts.jsonl").write_text('{"attempt": 1}\n')
    assert read(path).state == "lost"


def test_a_run_that_waits_in_a_queue_is_queued_and_lost_once_the_queue_is_gone(tmp_path):
    path, _ = one_run(tmp_path, states={0: "new"})
    directory = ExperimentDir(path)
    (name,) = [run["run_id"] for run in json.loads(directory.manifest.read_text())["runs"]]
    write_json(directory.run(name).config, {})
    write_json(directory.pool_tasks(1), {"tasks": [[name]]})
    chunk = {"submission": 1, "token": "t", "first": 0, "count": 1, "job_id": "7"}
    for event in ({"submission": 1, "kind": "local", "event": "begun"}, {**chunk, "event": "sending"}):
        log_submission(directory, event)
    me = {"machine": machine(), "pid": os.getpid(), "start_time": start_time(os.getpid()), "time": time.time()}
    write_json(directory.pool_state(1), {**me, "pending": [name], "running": []})
    assert read(path).state == "queued"  # although the pool's id is not saved yet
    log_submission(directory, {**chunk, "event": "sent"})
    assert read(path).state == "queued"
    directory.pool_state(1).unlink()
    assert read(path).state == "lost"


@pytest.mark.parametrize(
    ("name", "change", "state", "problem"),
    [
        ("metrics.jsonl", lambda text: text[:-20], "completed", "metrics.jsonl: 1 unreadable line"),
        ("result.json", lambda text: text[:12], "lost", "result.json is not readable"),
        (
            "result.json",
            lambda text: json.dumps(json.loads(text) | {"run_id": "other"}),
            "lost",
            "result.json belongs to another run (other)",
        ),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, change, state, problem):
    path, run = one_run(tmp_path)
    (run / name).write_text(change((run / name).read_text()))
    found = read(path)
    assert (found.state, found.record.problems) == (state, [problem])
    assert found.record.epoch == (11 if name == "metrics.jsonl" else 12)


def test_an_epoch_that_was_trained_again_counts_once(tmp_path):
    path, run = one_run(tmp_path, states={0: "running"})
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"epoch": 3, "val_mae": 0.5}) + "\n")
    found = read(path)
    assert (found.record.epoch, found.record.last["val_mae"]) == (3, 0.5)


def test_metrics_that_are_not_numbers_are_named(tmp_path):
    found = read(one_run(tmp_path, metrics={"val_mae": float("nan"), "val_r2": None})[0])
    assert set(found.result.metrics) == {"test_mae"}
    assert found.record.problems == ["result.json: val_mae, val_r2 not a finite number"]


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe", b"[1, 2]", b"null", b"{" * 5000])
@pytest.mark.parametrize("name", ["result.json", "failure.json", "heartbeat.json", "metrics.jsonl",
                                  "fusion_weights.csv", "diagnostics.jsonl", "predictions.csv"])  # fmt: skip
def test_a_foreign_file_never_stops_the_reading(tmp_path, name, content):
    path, run = one_run(tmp_path)
    (run / name).write_bytes(content)
    assert read(path).state in {"completed", "lost"}


@pytest.mark.parametrize("name", ["metrics.jsonl", "predictions.csv", "fusion_weights.csv"])
def test_a_missing_log_leaves_the_run_completed(tmp_path, name):
    path, run = one_run(tmp_path)
    (run / name).unlink()
    assert read(path).state == "completed"


def test_directories_that_the_manifest_does_not_name_are_listed(tmp_path):
    path, _ = one_run(tmp_path)
    (path / "runs" / "old").mkdir()
    (path / "runs" / "notes.txt").write_text("x")
    assert collect(path, now=NOW).unplanned == ("old",)


def test_a_copied_experiment_reads_the_same(tmp_path):
    path = write_experiment(tmp_path, Plan([ONE, PlannedVariant("3", states={1: "failed"})]))
    collect(path, now=NOW)
    copied = shutil.copytree(path, tmp_path / "elsewhere" / "copy")
    one, other = ([(run.record, run.state) for run in collect(where, now=NOW).runs] for where in (path, copied))
    assert one == other


def test_the_cache_gives_the_same_records(tmp_path):
    path = write_experiment(tmp_path, Plan([ONE, PlannedVariant("3", weights=(0.9, 0.05), states={1: "failed"})]))
    first = collect(path, now=NOW)
    assert cache_file(ExperimentDir(path), "runs.json").is_file()
    assert collect(path, now=NOW).runs == first.runs == collect(path, now=NOW, cache=False).runs


def test_the_cache_notices_a_changed_file(tmp_path):
    path, run = one_run(tmp_path)
    read(path)
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(result | {"metrics": {"val_mae": 0.5}}))
    assert read(path).record.result.metrics == {"val_mae": 0.5}


def test_unchanged_runs_are_not_read_again(tmp_path):
    path, run = one_run(tmp_path)
    read(path)
    status = (run / "result.json").stat()
    (run / "result.json").write_bytes(b" " * status.st_size)
    os.utime(run / "result.json", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert read(path).state == "completed"


def test_the_cache_is_not_used_with_other_thresholds(tmp_path):
    path, _ = one_run(tmp_path)
    assert read(path).record.findings == []
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"health": {"gate_suppressed": 0.3, "ratio_low": 6}}))
    assert [finding.rule for finding in read(path).record.findings] == ["ratio_low"]


def test_a_broken_cache_is_rebuilt(tmp_path):
    path, _ = one_run(tmp_path)
    first = read(path)
    cache_file(ExperimentDir(path), "runs.json").write_text('{"rules": ')
    assert read(path) == first


def test_a_cache_that_somebody_planted_in_the_experiment_changes_nothing(tmp_path):
    path, _ = one_run(tmp_path)
    first = read(path)
    planted = cache_file(ExperimentDir(path), "runs.json").read_text().replace("0.1", "0.001")
    (path / "analysis" / "cache").mkdir(parents=True)
    (path / "analysis" / "cache" / "runs.json").write_text(planted)
    copied = shutil.copytree(path, tmp_path / "elsewhere" / "copy")
    assert read(copied).record == read(path).record == first.record


def test_a_cache_that_others_could_have_written_is_not_believed(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNNER_CACHE", str(tmp_path / "shared"))
    path, _ = one_run(tmp_path)
    first = read(path)
    file = cache_file(ExperimentDir(path), "runs.json")
    file.write_text(file.read_text().replace('"seconds":90.0', '"seconds":9.0'))
    assert read(path) != first  # one's own is believed
    (tmp_path / "shared").chmod(0o777)
    assert read(path) == first


def test_an_unwritable_cache_is_said_and_nothing_else_suffers(tmp_path, monkeypatch):
    path, _ = one_run(tmp_path)
    monkeypatch.setenv("RUNNER_CACHE", str(path / "manifest.json"))
    found = collect(path, now=NOW)
    assert found.cache_error
    assert found.runs[0].state == "completed"


def test_two_processes_read_the_same_as_one(tmp_path, monkeypatch):
    path = write_experiment(tmp_path, Plan([PlannedVariant(str(i)) for i in range(10)], seeds=[0]))
    alone = collect(path, now=NOW, cache=False)
    monkeypatch.setattr("analysis.collect.collection.PARALLEL_FROM", 1)
    monkeypatch.setattr("analysis.collect.collection.CHUNK", 3)
    assert collect(path, now=NOW, cache=False).runs == alone.runs


def test_no_manifest_is_said_with_the_next_command(tmp_path):
    with pytest.raises(CommandFailed, match=r"(?s)has no manifest.json.*next: runner submit"):
        collect(tmp_path)
    with pytest.raises(CommandFailed, match="no such experiment directory"):
        collect(tmp_path / "absent")


def test_runs_that_would_leave_the_directory_are_not_planned(tmp_path):
    runs = [{"run_id": name} for name in ("../../etc", "a/b", "..", "", 3, "ok")]
    (tmp_path / "manifest.json").write_text(json.dumps({"runs": [*runs, "foreign"]}))
    assert [run.run_id for run in collect(tmp_path, cache=False).runs] == ["ok"]


def test_a_test_metric_cannot_be_selected(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"runs": [], "select": {"metric": "test_mae", "mode": "low"}}))
    with pytest.raises(ConfigError, match=r"(?s)select.metric.*test split never.*select.mode.*min or max"):
        collect(tmp_path)


def test_now_is_the_time_of_day_unless_given(tmp_path):
    path, run = one_run(tmp_path, states={0: "lost"})
    (run / "heartbeat.json").write_text(json.dumps({"attempt": 1, "time": time.time()}))
    assert collect(path).runs[0].state == "running"


def test_a_last_line_longer_than_the_tail_is_read_whole(tmp_path):
    path = tmp_path / "diagnostics.jsonl"
    lines = [json.dumps({"epoch": epoch, "alpha": [0.5] * 500}) for epoch in range(9)]
    path.write_text("\n".join(lines) + "\n")
    records, broken = json_lines(read_tail(path, size=100))
    assert records[-1] == json.loads(lines[-1])
    assert (len(records) < 9, broken) == (True, 0)
