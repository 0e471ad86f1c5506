"""The main job in small: a search on real crystals through the command line, undisturbed and with processes killed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from build_log import builds
from crystal_experiment import command, results, write_config
from runner.files import read_json, read_json_lines
from runner.rundir.layout import ExperimentDir, RunDir
from tiny_experiment import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Graphs and embeddings that all searches of this module share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """The root of a search that nobody disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = command("runner.cli", "submit", write_config(folder), "--root", folder, "--wait", cache=cache)
    assert done.returncode == 0, done.stderr
    return folder


def test_search_completes_and_is_ranked(undisturbed: Path, cache: Path) -> None:
    assert len(results(undisturbed)) == 3
    shown = command("analysis.cli", "summarize", "small", "--root", undisturbed, cache=cache)
    assert shown.returncode == 0, shown.stderr
    assert all(name in shown.stdout for name in ("layers=1", "layers=1,2", "graph_only"))
    header = ExperimentDir(undisturbed / "small").summary_csv.read_text().splitlines()[0]
    assert header.startswith("rank,variant,model.middle_fusion.layers")


def test_run_directory_holds_what_others_rely_on(undisturbed: Path) -> None:
    for path in ExperimentDir(undisturbed / "small").runs.iterdir():
        run = RunDir(path)
        files = [run.config, run.provenance, run.splits, run.heartbeat, run.metrics, run.best_checkpoint, run.result]
        assert all(file.exists() for file in [*files, run.last_checkpoint, run.predictions, run.attempts]), path
        assert "data: jarvis_minerals" in run.log(1).read_text()
    fused = [path for path in ExperimentDir(undisturbed / "small").runs.iterdir() if "layers-1-2" in path.name]
    layers = {line.split(",")[1] for line in RunDir(fused[0]).fusion_weights.read_text().splitlines()[1:]}
    assert layers == {"1", "2"}


def test_test_split_is_evaluated_once_at_the_best_validation_epoch(undisturbed: Path) -> None:
    for path in ExperimentDir(undisturbed / "small").runs.iterdir():
        run = RunDir(path)
        lines = read_json_lines(run.metrics)
        assert not any(name.startswith("test") for line in lines for name in line)
        result = read_json(run.result)
        assert result is not None
        best = min(lines, key=lambda line: line["val_mae"])
        assert result["best_epoch"] == best["epoch"]
        assert result["metrics"]["val_mae"] == best["val_mae"]


def test_wrong_texts_are_tried_on_the_runs_that_read_them(undisturbed: Path, cache: Path) -> None:
    shown = command("analysis.cli", "robustness", "-e", "small", "--root", undisturbed, "--format", "json", cache=cache)
    assert shown.returncode == 0, shown.stderr
    rows = json.loads(shown.stdout)
    wanted = {(variant, metric) for variant in ("layers=1", "layers=1,2") for metric in ("val_mae", "test_mae")}
    assert {(row["variant"], row["metric"]) for row in rows} == wanted
    for row in rows:
        ran = [its for its in results(undisturbed).values() if its["variant"] == row["variant"]]
        assert row["right"] == pytest.approx(ran[0]["metrics"][row["metric"]], rel=1e-6)


def test_second_submission_sends_and_computes_nothing(undisturbed: Path, cache: Path) -> None:
    before = (cache / "builds.jsonl").read_text()
    again = command("runner.cli", "submit", undisturbed / "small.yaml", "--root", undisturbed, cache=cache)
    assert again.returncode == 0
    assert "nothing to send" in again.stderr
    assert "3 completed already" in again.stderr
    assert (cache / "builds.jsonl").read_text() == before


def test_another_model_computes_no_graph_and_no_text_again(tmp_path: Path, undisturbed: Path, cache: Path) -> None:
    before = builds(cache)
    assert {build["kind"] for build in before} >= {"graphs", "embeddings"}
    changes = ["params.model.encoder.hidden=16", "params.model.late_fusion.name=gated", "params.train.epochs=1"]
    sets = [word for change in changes for word in ("--set", change)]
    done = command(
        "runner.cli", "submit", write_config(tmp_path), *sets, "--root", tmp_path, "--only", "layers=1,2", "--wait",
        cache=cache,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(results(tmp_path)) == 1
    assert not results(tmp_path).keys() & results(undisturbed).keys()
    assert builds(cache) == before


@pytest.mark.parametrize("victim", ["child", "parent"])
def test_killed_run_alone_restarts_and_ends_with_the_same_result(
    tmp_path: Path, undisturbed: Path, cache: Path, victim: str
) -> None:
    config = write_config(tmp_path)
    sent = command("runner.cli", "submit", config, "--root", tmp_path, "--set", "array.max_parallel=1", cache=cache)
    assert sent.returncode == 0, sent.stderr
    run = ExperimentDir(tmp_path / "small").run(next(iter(sorted(results(undisturbed)))))
    kill_in_mid_epoch(ExperimentDir(tmp_path / "small"), victim)
    again = command("runner.cli", "submit", config, "--root", tmp_path, "--wait", cache=cache)
    assert again.returncode == 0, again.stderr
    assert results(tmp_path) == results(undisturbed)
    attempts = {path.name: read_json(path / "result.json")["attempts"] for path in run.experiment.runs.iterdir()}
    assert sorted(attempts.values()) == [1, 1, 2]


def kill_in_mid_epoch(directory: ExperimentDir, victim: str) -> None:
    """SIGKILL the first run's child or its parent after its first epoch, then wait for the pool to end the rest."""

    def first_epoch() -> RunDir | None:
        for path in directory.runs.iterdir():
            if len(read_json_lines(RunDir(path).metrics)) == 1:
                return RunDir(path)
        return None

    run = wait_until(first_epoch, 60, "first epoch")
    heartbeat = read_json(run.heartbeat)
    os.kill(heartbeat["pid" if victim == "child" else "parent_pid"], signal.SIGKILL)
    wait_until(lambda: (read_json(directory.submission(1) / "pool.json") or {}).get("ended"), 120, "end of the pool")
    assert not run.result.exists()
