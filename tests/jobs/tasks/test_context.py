"""What a task reports through its context."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from jobs.context import FUSION_COLUMNS, RunContext
from jobs.failure import Stopped
from jobs.heartbeat import HeartbeatThread
from runner.files import read_json, read_json_lines
from runner.rundir.layout import RunDir


def test_recorded_epoch_is_a_line_with_attempt_and_time(tmp_path: Path) -> None:
    context = RunContext(RunDir(tmp_path), attempt=2)
    context.record({"epoch": 1, "val_mae": np.float32(0.5), "train_loss": float("nan"), "gates": [1.0, float("inf")]})
    (line,) = read_json_lines(tmp_path / "metrics.jsonl")
    assert line.pop("time") > 1e9
    assert line == {"epoch": 1, "val_mae": 0.5, "train_loss": None, "gates": [1.0, None], "attempt": 2}


def test_fusion_weights_have_the_documented_header_and_blanks(tmp_path: Path) -> None:
    context = RunContext(RunDir(tmp_path))
    context.record_fusion(1, {"2": {"w_graph": 0.25, "ratio": float("inf")}, "2,3": {"text_scale": 12.0}})
    assert (tmp_path / "fusion_weights.csv").read_text().splitlines() == [
        "epoch,layer,w_graph,w_text,ratio,contribution_ratio,text_scale,node_scale,gate_mean,gate_std",
        "1,2,0.25,,,,,,,",
        '1,"2,3",,,,,12.0,,,',
    ]


def test_unknown_fusion_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no column \['beta'\]; allowed: w_graph, w_text"):
        RunContext(RunDir(tmp_path)).record_fusion(1, {"2": {"beta": 1.0}})


def test_rewind_drops_later_epochs_and_half_lines_from_all_three_logs(tmp_path: Path) -> None:
    directory = RunDir(tmp_path)
    context = RunContext(directory)
    for epoch in (1, 2, 3):
        context.record({"epoch": epoch})
        context.record_fusion(epoch, {"2": {"ratio": 3.0}})
        context.record_diagnostics({"epoch": epoch, "norm": 1.0})
    for path in (directory.metrics, directory.diagnostics, directory.fusion_weights):
        with open(path, "a") as file:
            file.write('{"epoch": 1, "val' if path.suffix == ".jsonl" else "1,3,0.")
    context.rewind(2)
    assert [line["epoch"] for line in read_json_lines(directory.metrics)] == [1, 2]
    assert [line["epoch"] for line in read_json_lines(directory.diagnostics)] == [1, 2]
    with open(directory.fusion_weights, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["ratio"]) for row in rows] == [("1", "3.0"), ("2", "3.0")]
    assert set(FUSION_COLUMNS) < set(rows[0])


def test_rewind_of_a_new_run_makes_no_files(tmp_path: Path) -> None:
    RunContext(RunDir(tmp_path)).rewind(0)
    assert list(tmp_path.iterdir()) == []


def test_heartbeat_shows_the_planned_epochs_and_the_followed_metric(tmp_path: Path) -> None:
    directory = RunDir(tmp_path)
    heartbeat = HeartbeatThread(directory, {"attempt": 1}, interval=60)
    context = RunContext(directory, heartbeat=heartbeat)
    heartbeat.start()
    context.plan(20, "val_loss")
    context.record({"epoch": 3, "val_mae": 1.0, "val_loss": 0.5})
    shown = read_json(directory.heartbeat)
    assert (shown["epoch"], shown["epochs"], shown["metric"], shown["value"]) == (3, 20, "val_loss", 0.5)
    assert not shown["ended"]
    heartbeat.end()
    assert read_json(directory.heartbeat)["ended"]


def test_fields_of_the_heartbeat_are_those_in_the_docs(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "runtime.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^\| `heartbeat.json` \| (.*) \|$", page, re.MULTILINE)
    facts = dict.fromkeys(("job_id", "array_task_id", "attempt", "memory_limit_bytes"))
    HeartbeatThread(RunDir(tmp_path), facts, interval=60).beat()
    assert set(re.sub(r" \([^)]*\)", "", row).split(", ")) == read_json(RunDir(tmp_path).heartbeat).keys()


def test_epoch_without_the_followed_metric_keeps_its_last_value(tmp_path: Path) -> None:
    directory = RunDir(tmp_path)
    context = RunContext(directory, heartbeat=HeartbeatThread(directory, {}, interval=60))
    context.plan(None, "val_mae")
    context.record({"epoch": 1, "val_mae": 0.5})
    context.record({"epoch": 2, "train_loss": 0.4})
    shown = read_json(directory.heartbeat)
    assert (shown["epoch"], shown["metric"], shown["value"]) == (2, "val_mae", 0.5)


def test_heartbeat_beats_without_being_asked(tmp_path: Path) -> None:
    directory = RunDir(tmp_path)
    beats: list[int] = []
    heartbeat = HeartbeatThread(directory, {}, interval=0.02, check=lambda: beats.append(1))
    heartbeat.start()
    while len(beats) < 5:
        pass
    heartbeat.end()


def test_heartbeat_survives_a_directory_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = RunDir(tmp_path / "run")
    directory.path.mkdir()
    beats: list[int] = []
    heartbeat = HeartbeatThread(directory, {}, interval=0.02, check=lambda: beats.append(1))
    heartbeat.start()
    directory.path.rename(tmp_path / "aside")
    directory.path.write_text("a file where a directory should be")
    before = len(beats)
    while len(beats) < before + 3:
        pass
    directory.path.unlink()
    (tmp_path / "aside").rename(directory.path)
    heartbeat.end()
    assert "heartbeat not written" in capsys.readouterr().out
    assert read_json(directory.heartbeat)["ended"]


def test_stop_reason_raises_stopped(tmp_path: Path) -> None:
    context = RunContext(RunDir(tmp_path))
    context.raise_if_stopped()
    context.ask_to_stop("preempted")
    with pytest.raises(Stopped, match="preempted"):
        context.raise_if_stopped()
