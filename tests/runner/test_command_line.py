"""The commands as a person uses them, on the local pool."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from machine_speed import least_seconds
from runner.files import read_json
from runner.rundir.layout import ExperimentDir
from runner_main import run
from tiny_experiment import TESTS, environment, wait_until

NO_TORCH = """\
import sys
from unittest.mock import patch
from runner.cli import main
with patch.object(sys, "argv", ["runner", *sys.argv[1:]]):
    try:
        main()
    except SystemExit as left:
        status = left.code or 0
assert not {"torch", "transformers", "jarvis", "pandas"} & set(sys.modules), "heavy import"
sys.exit(status)
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four tiny runs; the working directory holds their task."""
    monkeypatch.chdir(TESTS)
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    content = {
        "experiment": "tiny",
        "task": "tiny_task:TinyTask",
        "params": {"train": {"epoch_seconds": 0.05}},
        "matrix": {"axes": {"train.epochs": [1, 2]}, "seeds": [0, 1]},
        "select": {"metric": "val_loss"},
        "array": {"max_parallel": 2},
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_help_answers_at_once() -> None:
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-P", "-m", "runner.cli", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "submit" in done.stdout
    times = os.times()
    assert time.perf_counter() - began < 0.5 or times.children_user < 0.5  # a busy machine may keep it waiting


DEMO_COMMANDS = [["expand"], ["expand", "--format", "csv"], ["submit", "--dry-run"]]


@pytest.mark.parametrize("command", [["--help"], *(pytest.param(it, marks=pytest.mark.torch) for it in DEMO_COMMANDS)])
def test_looking_at_a_search_imports_nothing_heavy(tmp_path: Path, command: list[str]) -> None:
    demo = [] if command == ["--help"] else [str(TESTS.parent / "configs" / "demo.yaml"), "--root", str(tmp_path)]
    line = [sys.executable, "-P", "-c", NO_TORCH, command[0], *demo, *command[1:]]
    done = subprocess.run(line, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr


def test_expand_as_json_holds_the_contract(config: Path) -> None:
    found = json.loads(run("expand", config, "--format", "json").out)
    assert found["experiment"] == "tiny"
    assert len(found["runs"]) == 4
    assert {"run_id", "variant", "seed", "axes", "params"} <= set(found["runs"][0])


def test_expand_as_csv_quotes_lists(tmp_path: Path) -> None:
    text = run("expand", TESTS.parent / "configs" / "demo.yaml", "--format", "csv", "--root", tmp_path).out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["model.middle_fusion.layers"] for row in rows][3:] == ["[2, 3]", "[1, 2, 3]", ""]


@pytest.mark.slow
@pytest.mark.parametrize("axes", [
    {"train.learning_rate": 100, "train.weight_decay": 100, "train.epochs": 10},
    {"train.learning_rate": 100, "model.dropout": 100, "data.seed": 10},
    {"model.dropout": 100, "model.projection_dim": 100, "seeds": 10},
], ids=["one section", "several sections", "variants with seeds"])  # fmt: skip
def test_hundred_thousand_runs_expand_in_a_few_times_their_encoding(tmp_path: Path, axes: dict[str, int]) -> None:
    small = {
        key: [1 + i if key.endswith(("epochs", "seed", "seeds", "dim")) else (i + 1) / 1e4 for i in range(n)]
        for key, n in axes.items()
    }
    seeds = small.pop("seeds", [0])
    content = {"experiment": "big", "params": {"data": {"dataset": "mp6k"}}, "matrix": {"axes": small, "seeds": seeds}}
    (tmp_path / "big.yaml").write_text(yaml.safe_dump(content))
    line = [sys.executable, "-P", "-c", NO_TORCH, "expand", str(tmp_path / "big.yaml"), "--format", "csv"]
    ratios = []
    while not ratios or (min(ratios) >= 3 and len(ratios) < 3):  # again where something else had the processor
        before = os.times()
        done = subprocess.run(line, capture_output=True, text=True, env=environment())
        after = os.times()
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("\n") == 100_001
        # Processor time, since the command neither waits nor uses a second core, in units of what the encoding alone
        # takes (one commit took 3 s on one machine and 13 s on another). benchmarks.expand has the seconds.
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        ratios.append(spent / least_seconds())
    assert min(ratios) < 3, ratios


def test_search_from_submission_to_its_end(config: Path, tmp_path: Path) -> None:
    sent = run("submit", config, "--root", tmp_path, "--wait")
    assert sent.status == 0, sent.err
    assert "sent 4 runs" in sent.err
    status = json.loads(run("status", "tiny", "--root", tmp_path, "--format", "json").out)
    assert status["counts"] == {"completed": 4}
    again = run("submit", config, "--root", tmp_path)
    assert "nothing to send" in again.err
    log = run("logs", "tiny", "1@0", "--root", tmp_path)
    assert "starts after epoch 0" in log.out
    assert run("failures", "--root", tmp_path).out == "no run has failed\n"


def test_runs_under_way_are_not_sent_again_and_can_be_cancelled(config: Path, tmp_path: Path) -> None:
    slow = [config, "--root", tmp_path, "--set", "train.epoch_seconds=30"]
    assert run("submit", *slow).status == 0
    assert "4 queued or running" in run("submit", *slow).err
    assert "4 runs cancelled" in run("cancel", "tiny", "--root", tmp_path).err
    wait_until(lambda: (read_json(ExperimentDir(tmp_path / "tiny").pool_state(1)) or {}).get("ended"), 30, "the end")
    status = json.loads(run("status", "--root", tmp_path, "--format", "json").out)
    assert status["counts"] == {"cancelled": 4}
    assert "cancelled; not sent again by itself" in run("submit", *slow).err


def test_only_a_part_is_sent(config: Path, tmp_path: Path) -> None:
    said = run("submit", config, "--root", tmp_path, "--only", "epochs=1", "--wait")
    assert said.status == 0, "runs that were not asked for are not waited for"
    assert "sent 2 runs" in said.err
    assert "tiny: 2 runs: 2 completed" in said.err
    status = json.loads(run("status", "--root", tmp_path, "--format", "json").out)
    assert status["counts"] == {"completed": 2, "new": 2}


def test_file_that_is_no_experiment_file_names_no_experiment(config: Path, tmp_path: Path) -> None:
    assert run("submit", config, "--root", tmp_path, "--only", ":1", "--wait").status == 0
    run_config = next((tmp_path / "tiny").glob("runs/*/config.yaml"))
    for path in (tmp_path / "tiny" / "manifest.json", run_config):
        said = run("status", path, "--root", tmp_path)
        assert said.status == 2
        assert f"{path} is no experiment file\n  next: the experiment's directory" in said.err


def test_template_of_the_next_stage_that_is_missing_is_a_mistake(config: Path, tmp_path: Path) -> None:
    (tmp_path / "stage2.yaml").touch()
    said = run("submit", config, "--root", tmp_path, "--dry-run", "--set", f"next.config={tmp_path}/stage_2.yaml")
    assert said.status == 2
    assert f"there is no file '{tmp_path}/stage_2.yaml', here or in a folder above {config}" in said.err
    assert f"did you mean: {tmp_path}/stage2.yaml" in said.err


def test_number_without_a_unit_is_said_by_expand_and_by_a_dry_run(config: Path, tmp_path: Path) -> None:
    bare = ["--root", tmp_path, "--set", "resources={memory: 16, time: 1:30}"]
    for words in (["expand", config], ["submit", config, "--dry-run"]):
        said = run(*words, *bare)
        assert "resources: time 1:30 → 1 min 30 s\nresources: memory 16 → 16 MiB\n" in said.out + said.err


def test_one_run_in_the_foreground_shows_its_log(config: Path, tmp_path: Path) -> None:
    said = run("run", config, "2@1", "--root", tmp_path)
    assert said.status == 0, said.err
    assert "starts after epoch 0" in said.out


def test_init_writes_starters_and_does_not_overwrite(tmp_path: Path) -> None:
    written = run("init", tmp_path / "configs")
    assert written.status == 0
    assert (tmp_path / "configs" / "clusters" / "slurm.yaml").exists()
    assert run("expand", tmp_path / "configs" / "demo.yaml", "--root", tmp_path).status == 0
    for path in (tmp_path / "configs").rglob("*.yaml"):
        first = path.read_text().partition("\n")[0]
        schema = path.parent / first.removeprefix("# yaml-language-server: $schema=")
        task = re.search(r"^task: (\w+)$", path.read_text(), re.MULTILINE)
        kind = task[1] if task else "cluster" if path.parent.name == "clusters" else "crystal"
        assert schema.name == f"{kind}.json", path
        assert '"$defs"' in schema.read_text()
    again = run("init", tmp_path / "configs")
    assert again.status == 2
    assert "exists" in again.err
    assert "next: the same command with --force" in again.err


def test_a_reader_that_leaves_early_is_no_error(config: Path, tmp_path: Path) -> None:
    seeds = f"--set 'matrix.seeds={list(range(2000))}'"
    line = f"{sys.executable} -P -m runner.cli expand {config} --format csv {seeds} | head -1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=environment())
    assert done.stdout == "number,run_id,variant,seed,train.epochs\n"
    assert done.stderr == ""


def test_ctrl_c_while_waiting_leaves_the_runs_alone_and_says_so(config: Path, tmp_path: Path) -> None:
    slow = [str(config), "--root", str(tmp_path), "--set", "train.epoch_seconds=30", "--wait"]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "runner.cli", "submit", *slow], stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where pytest runs in the background
    )  # fmt: skip
    wait_until((tmp_path / "tiny" / "submissions" / "1" / "pool.json").exists, 30, "the pool")
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "runs that were sent go on: runner status shows them, runner cancel stops them" in told
    assert "Traceback" not in told
    assert "4 queued or running" in run("submit", *slow[:-1]).err
    assert "4 runs cancelled" in run("cancel", "--root", tmp_path).err


def test_two_submissions_at_once_send_every_run_once(config: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-P", "-m", "runner.cli", "submit", str(config), "--root", str(tmp_path)]
    both = [subprocess.Popen(line, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=60)[1] for process in both]
    assert sorted(process.returncode for process in both) in ([0, 0], [0, 1]), told
    assert sum("sent 4 runs" in text for text in told) == 1, told
    assert sum("another submission of tiny is under way" in text or "4 queued or running" in text for text in told) == 1
    run("cancel", "--root", tmp_path)


def test_what_the_machine_refuses_is_told_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = run("init", tmp_path / "file" / "configs")
    assert said.status == 1
    assert said.err.startswith(f"error: {tmp_path}/file/configs")
    assert "Not a directory" in said.err


def test_an_axis_that_is_added_keeps_the_runs_that_there_are(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text().replace("- 0\n  - 1", "- 0"))  # one seed
    assert run("submit", config, "--root", tmp_path, "--wait").status == 0
    config.write_text(config.read_text().replace("axes:", "axes:\n    at_epoch: [1, 2]"))
    counts = next(line for line in run("expand", config, "--root", tmp_path).out.splitlines() if "variants" in line)
    assert counts == (
        "4 runs (4 variants × 1 seed): 2 new, 2 unchanged; 0 submitted earlier that the file no longer has"
    )
    again = run("submit", config, "--root", tmp_path, "--wait")
    assert "sent 2 runs" in again.err
    status = json.loads(run("status", "--root", tmp_path, "--format", "json").out)
    assert status["counts"] == {"completed": 4}
    assert {planned["variant"] for planned in status["runs"]} == {
        f"at_epoch={at} epochs={epochs}" for at in (1, 2) for epochs in (1, 2)
    }


def test_expand_says_what_is_new_unchanged_and_gone(config: Path, tmp_path: Path) -> None:
    assert run("submit", config, "--root", tmp_path, "--only", "epochs=2", "--wait").status == 0
    config.write_text(config.read_text().replace("- 1\n    - 2", "- 2\n    - 3"))
    out = run("expand", config, "--root", tmp_path).out
    assert "2 new, 2 unchanged; 2 submitted earlier that the file no longer has" in out
    assert [line.split()[3] for line in out.splitlines()[1:5]] == ["completed", "completed", "new", "new"]


def test_expand_says_what_runs_share_what_they_cost_and_what_is_listed_once(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(
        "experiment: e\nparams: {train: {epochs: 5}, data: {train: 50}}\nbaseline: width\n"
        "matrix:\n  axes: {train.batch_size: [32, 64]}\n  include: [{train.batch_size: 64, train.patience: null}]\n"
        "  named: {width: {model.projection_dim: 32}}\n  seeds: [0, 1]\n"
        "resources: {gpus: 1, time: 30m}\narray: {runs_per_task: 4}\n"
    )
    out = run("expand", tmp_path / "e.yaml", "--root", tmp_path).out.splitlines()
    assert out[0].split() == ["#", "variant", "seed", "state", "run"]
    assert out[5].split()[:4] == ["5", "width", "*", "0"]
    assert "* baseline, with which the others are compared" in out
    assert any(
        line.startswith("not listed: batch_size=64 patience=null, seed 0, is the same run as batch-") for line in out
    )
    assert "params, where a variant sets nothing else: train.epochs=5 data.train=50" in out
    assert "at most 1.0 GPU hours: 2 array tasks of 30m00s each" in out


def test_expand_says_which_section_a_variant_replaces_by_another_kind(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(
        "experiment: e\nparams: {model: {middle_fusion: {name: dynamic, layers: [2], hidden_dim: 32}}}\n"
        "matrix:\n  named:\n    all: {}\n    clipped: {train: {gradient_clip: 5}}\n"
        "    none: {model: {middle_fusion: {name: none}}}\n"
    )
    out = run("expand", tmp_path / "e.yaml", "--root", tmp_path).out.splitlines()
    replaced = [line for line in out if "instead of" in line]
    assert replaced == ["in none model.middle_fusion is none instead of dynamic; not used there: layers, hidden_dim"]


def test_expand_of_many_runs_shows_fifty_and_counts(config: Path) -> None:
    out = run("expand", config, "--set", f"matrix.seeds={list(range(40))}").out.splitlines()
    assert out[50].split()[0] == "50"
    assert "… and 30 more; --format csv lists all" in out
