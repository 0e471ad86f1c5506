"""The scripts of benchmarks/ work, and the pages that they write are those of their last results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import false_alarms
from benchmarks.__main__ import QUESTIONS, write
from benchmarks.page import filled
from benchmarks.performance import MEASURED, PAGE, tables
from jobs.launch import python_path

ROOT = Path(__file__).parents[2]


def test_the_page_of_performance_shows_the_last_results() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page, tables(MEASURED)) == page, "python -m benchmarks.performance writes it anew"


def test_no_healthy_run_was_called_unhealthy() -> None:
    found = json.loads(false_alarms.MEASURED.read_text(encoding="utf-8"))
    assert (len(found["runs"]), found["blocking"]) == (28, 0)
    assert found["most_warnings"] <= 1


def test_a_figure_that_misses_what_is_asked_says_so(tmp_path: Path) -> None:
    results = [
        {"name": "step_vs_alignn", "batch": 32, "ratio": 9.96, "ours": 0.2, "theirs": 1.992, "load": 0.1},
        {"name": "start_seconds", "ours": 9.9, "unit": "s", "load": 0.1},
        {"name": "run_memory_stage1", "ours": 4 << 30, "unit": "bytes", "load": 0.1},
    ]
    path = tmp_path / "cpu.json"
    machine = {"processor": "p", "vectors": "AVX2", "cores": 2, "python": "3.11", "torch": "2.13"}
    path.write_text(json.dumps({"machine": machine, "results": results}))
    rows = tables(path, tmp_path / "none.json")["asked"].splitlines()
    ends = {row.split("|")[1].split(",")[0].strip(): row.split("|")[3].strip() for row in reversed(rows)}
    assert ends["training step"] == "9.96, **missed**"
    assert ends["`runner run` to the first batch"] == "9.90"
    assert ends["peak memory of a run on all of mp6k"] == "4.00, **missed**"
    assert ends["peak memory of that step"] == "not run"


def test_every_question_is_a_script() -> None:
    missing = [call[0] for call in QUESTIONS.values() if not (ROOT / "benchmarks" / f"{call[0]}.py").exists()]
    assert missing == []


def test_a_new_answer_takes_the_place_of_the_old_one_and_keeps_the_others(tmp_path: Path) -> None:
    path = tmp_path / "results" / "cpu.json"
    write(path, "start", [{"question": "start", "name": "start_seconds", "ours": 9.0}])
    write(path, "graphs", [{"question": "graphs", "name": "graphs_vs_alignn", "ours": 0.2}])
    write(path, "start", [{"question": "start", "name": "start_seconds", "ours": 8.0}])
    found = json.loads(path.read_text())["results"]
    assert [(result["name"], result["ours"]) for result in found] == [
        ("graphs_vs_alignn", 0.2), ("start_seconds", 8.0)
    ]  # fmt: skip


def run(*arguments: str, cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ, "PYTHONPATH": python_path(os.environ), "RUNNER_CACHE": str(cache), "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    line = [sys.executable, "-m", *arguments]
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=580)


@pytest.mark.slow
def test_the_gpu_script_works_on_a_cpu(tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    done = run("benchmarks.gpu", "--device", "cpu", "--tiny", "--output", str(output), cache=tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    found = json.loads(output.read_text())
    assert found["machine"]["device"] == "cpu"
    assert [result["name"] for result in found["results"]] == [
        "gpu_step_vs_alignn", "gpu_step_whole_vs_alignn", "gpu_step_bf16_vs_alignn", "stage1_seconds"
    ]  # fmt: skip
    assert all(result["ours"] > 0 for result in found["results"])
    assert found["results"][-1]["runs"] == 1


def test_the_gpu_script_says_that_there_is_no_gpu(tmp_path: Path) -> None:
    done = run("benchmarks.gpu", cache=tmp_path)
    assert done.returncode == 2
    assert "torch sees no GPU here" in done.stderr
