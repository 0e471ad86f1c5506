"""A submission runs the code it was sent with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml
from test_provenance import git

from runner.files import read_json
from runner.rundir.checkout import PINNED, PRIVATE, checkouts, code_of
from runner.rundir.layout import ExperimentDir
from runner.submit import snapshot
from tiny_experiment import environment, wait_until

ROOT = Path(__file__).resolve().parents[3]

TASK = """\
from tiny_task import TinyParams
from tiny_task import TinyTask as Base
import time
from jobs.task import Outcome

class MyTask(Base):
    def run(self, params, context):
        time.sleep(params.train.epoch_seconds)
        from mytask.number import NUMBER
        return Outcome({"val_loss": float(NUMBER)})
"""


def test_equal_code_is_copied_once_and_changed_code_beside_it(tmp_path: Path) -> None:
    module = tmp_path / "mine.py"
    module.write_text("A = 1\n")
    directory = ExperimentDir(tmp_path / "exp")
    first = snapshot.take(directory, "mine:Task", tmp_path)
    assert snapshot.take(directory, "mine:Task", tmp_path) == first
    module.write_text("A = 2\n")
    second = snapshot.take(directory, "mine:Task", tmp_path)
    assert second != first
    assert (first / "mine.py").read_text() == "A = 1\n"
    assert (first / "jobs" / "tasks" / "crystal" / "data" / "shipped" / "mp6k.jsonl.gz").exists()
    assert not list(first.rglob("__pycache__"))


def test_what_the_users_module_imports_from_its_folder_is_copied_too(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import json, beside\ndef late():\n    from package.inner import B\n")
    (tmp_path / "beside.py").write_text("import jobs.task\n")
    (tmp_path / "unrelated.py").write_text("")
    (tmp_path / "package").mkdir()
    for name in ("__init__.py", "inner.py", "data.txt"):
        (tmp_path / "package" / name).write_text("")
    taken = snapshot.take(ExperimentDir(tmp_path / "exp"), "mine:Task", tmp_path)
    own = {str(path.relative_to(taken)) for path in taken.rglob("*") if path.is_file()}
    own = {name for name in own if name.partition("/")[0] not in snapshot.PACKAGES}
    assert own == {
        "mine.py",
        "beside.py",
        "package/__init__.py",
        "package/inner.py",
        "package/data.txt",
        PINNED,
        PRIVATE,
    }


def test_a_task_of_an_installed_package_is_not_copied(tmp_path: Path) -> None:
    taken = snapshot.take(ExperimentDir(tmp_path / "exp"), "tiny_task:TinyTask", tmp_path)
    assert {path.name for path in taken.iterdir()} == {*snapshot.PACKAGES, PINNED, PRIVATE}


def test_commit_and_changes_are_those_of_the_submission(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "mine.py").write_text("A = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    (tmp_path / "mine.py").write_text("A = 2\n")
    taken = snapshot.take(ExperimentDir(tmp_path / "exp"), "mine:Task", tmp_path)
    (tmp_path / "mine.py").write_text("A = 3\n")
    found = checkouts(taken, tmp_path)
    assert found.record["user_code"]["commit"] == git(tmp_path, "rev-parse", "HEAD")
    assert "+A = 2" in found.diffs["user_code"]
    assert (taken / PRIVATE).stat().st_mode & 0o777 == 0o600


def test_code_changed_after_submission_does_not_reach_waiting_runs(tmp_path: Path) -> None:
    package = tmp_path / "mytask"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "task.py").write_text(TASK)
    (package / "number.py").write_text("NUMBER = 1\n")
    content = {
        "experiment": "pinned",
        "task": "mytask.task:MyTask",
        "params": {"train": {"epoch_seconds": 1.0}},
        "matrix": {"seeds": [0, 1, 2]},
        "select": {"metric": "val_loss"},
        "array": {"max_parallel": 1},
    }
    (tmp_path / "pinned.yaml").write_text(yaml.safe_dump(content))
    command = [sys.executable, "-P", "-m", "runner.cli"]
    env = environment()
    env["PYTHONPATH"] = f"{Path(__file__).parents[2]}:{env['PYTHONPATH']}"
    sent = subprocess.run(
        [*command, "submit", "pinned.yaml"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60
    )
    assert sent.returncode == 0, sent.stderr
    (package / "number.py").write_text("NUMBER = 2\n")
    runs = ExperimentDir(tmp_path / "runs" / "pinned").runs
    wait_until(lambda: len(list(runs.glob("*/result.json"))) == 3, 60, "three results")
    results = [read_json(path / "result.json") for path in runs.iterdir()]
    assert [result["metrics"]["val_loss"] for result in results] == [1.0, 1.0, 1.0]
    for path in runs.iterdir():
        assert read_json(path / "provenance.json")["code"]["commit"] == checkouts(ROOT, None).record["code"]["commit"]


def test_folder_without_init_and_a_folder_of_data_do_not_stop_a_submission(tmp_path: Path) -> None:
    for name, text in (
        ("mine.py", "import lib.a, numpy, data, gone\n"),
        ("lib/a.py", "import other\n"),
        ("other.py", ""),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "big.bin").write_bytes(b"x")
    assert {name for name, _ in code_of("mine", tmp_path)} == {"mine.py", "lib/a.py", "other.py"}
