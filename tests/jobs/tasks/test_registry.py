"""Tasks by name, and the user's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jobs.tasks.registry import TASKS, load_task
from runner.errors import ConfigError, UserError
from tiny_experiment import TESTS


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's own modules; what they add to sys.path and sys.modules is undone."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def test_users_task_is_loaded_from_the_end_of_the_path(code: Path) -> None:
    task = load_task("tiny_task:TinyTask", TESTS)
    assert task.seed_key == "train.seed"
    assert task.Params.model_validate({"train": {"epochs": 2}}).model_dump()["train"]["epochs"] == 2
    load_task("tiny_task:TinyTask", code)
    assert sys.path[-1] == str(code)


def test_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"task: found 'crystals'.*\n.*allowed: crystal.*\n.*did you mean: crystal"):
        load_task("crystals")


def test_missing_module_says_where_it_was_looked_for(code: Path) -> None:
    with pytest.raises(ConfigError, match=rf"no module 'absent'; looked in code_path {code}"):
        load_task("absent:Task", code)
    with pytest.raises(ConfigError, match="code_path is not set"):
        load_task("absent:Task")


def test_missing_class_and_missing_members_are_named(code: Path) -> None:
    (code / "half_a_task.py").write_text("class Half:\n    Params = dict\n    seed_key = ''\n    def run(self): ...\n")
    with pytest.raises(ConfigError, match="module 'half_a_task' has no class 'Task'"):
        load_task("half_a_task:Task", code)
    with pytest.raises(ConfigError, match=r"it lacks prepare \(a method\)"):
        load_task("half_a_task:Half", code)


def test_params_must_be_pydantic(code: Path) -> None:
    (code / "dict_task.py").write_text(
        "class T:\n    Params = dict\n    seed_key = ''\n    def run(self): ...\n    def prepare(self): ...\n"
    )
    with pytest.raises(ConfigError, match="not a pydantic model"):
        load_task("dict_task:T", code)


def test_module_that_fails_or_lacks_a_dependency_is_a_users_error(code: Path) -> None:
    (code / "broken_task.py").write_text("1 / 0")
    (code / "needy_task.py").write_text("import absent_library")
    with pytest.raises(UserError, match="importing 'broken_task' failed: ZeroDivisionError"):
        load_task("broken_task:T", code)
    with pytest.raises(UserError, match="imports 'absent_library', which is not installed"):
        load_task("needy_task:T", code)


def test_our_packages_win_over_the_users_of_the_same_name(code: Path) -> None:
    (code / "models").mkdir()
    (code / "models" / "mine.py").write_text("class T: ...")
    with pytest.raises(ConfigError, match=r"no module 'models.mine' in the package 'models'.*give it another name"):
        load_task("models.mine:T", code)


def test_registry_does_not_import_torch() -> None:
    command = "import jobs.tasks.registry, jobs.node.parent, jobs.node.child, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert all(":" in target for target in TASKS.values())
