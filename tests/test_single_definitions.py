"""What is defined once stays defined once."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.rundir.failures import Kind
from runner.rundir.layout import ExperimentDir, Named, RunDir
from runner.rundir.states import STATES

ROOT = Path(__file__).parents[1]
# Names that only the module itself, and those beside it, may use: what is judged with them is judged there
JUDGING = {
    "start_time": "runner/rundir/processes.py",
    "machine": "runner/rundir/processes.py",
    "state_of": "runner/submit/survey.py",  # and states.py itself, which defines it
}


PACKAGES = ("runner", "jobs", "models", "analysis")
# Names of files that are read in a run or an experiment; those of folders are words of other things too
FILES = frozenset(
    named.name for folder in (RunDir, ExperimentDir) for named in vars(folder).values()
    if isinstance(named, Named) and "." in named.name
)  # fmt: skip
SHARED = {"checkout.json", "private.json", "values.json"}  # of a copy of the code, or of a program of the user's


def modules(root: Path = ROOT) -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            yield path.relative_to(root).as_posix(), ast.parse(path.read_text())


def listed(tree: ast.Module, words: frozenset[str]) -> Iterator[set[str]]:
    """The words that stand together in a tuple, list, set, mapping or Literal of `tree`."""
    for node in ast.walk(tree):
        items = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
        yield {item.value for item in items if isinstance(item, ast.Constant) and item.value in words}


def second_lists(tree: ast.Module, words: frozenset[str], most: int) -> list[set[str]]:
    return [some for some in listed(tree, words) if len(some) > most]


def judged_elsewhere(name: str, tree: ast.Module) -> set[str]:
    imported = {a.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for a in node.names}
    return {word for word, home in JUDGING.items() if word in imported and name != home}


def test_kinds_of_failure_are_listed_once() -> None:
    kinds = frozenset(Kind)
    assert {name for name, tree in modules() if second_lists(tree, kinds, 2)} == {"runner/rundir/failures.py"}
    assert second_lists(ast.parse('RETRIED = ("timeout", "preempted", "killed")'), kinds, 2)


def test_states_are_listed_once_with_what_is_shown_of_each() -> None:
    lists = {name for name, tree in modules() if second_lists(tree, frozenset(STATES), 4)}
    assert lists == {"runner/rundir/states.py", "runner/commands/status.py"}  # the second: their colours


def test_who_is_alive_and_what_state_a_run_has_is_judged_in_one_place() -> None:
    assert {name: found for name, tree in modules() if (found := judged_elsewhere(name, tree))} == {}
    assert judged_elsewhere("jobs/node/pool.py", ast.parse("from runner.rundir.processes import start_time"))


def second_kinds(root: Path) -> set[str]:
    homes = {name for name, tree in modules(root) if second_lists(tree, frozenset(Kind), 2)}
    return homes - {"runner/rundir/failures.py"}


def second_judges(root: Path) -> set[str]:
    """Modules that look into the list of processes themselves, or import what does."""
    return {
        name
        for name, tree in modules(root)
        if judged_elsewhere(name, tree) or (texts(tree, "/proc/") & {"/stat"} and name != "runner/rundir/processes.py")
    }


def texts(tree: ast.Module, start: str) -> set[str]:
    """What follows a name that is filled into a text that begins with `start`."""
    filled = [node.values for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) and len(node.values) == 3]
    return {
        str(last.value)
        for first, _, last in filled
        if isinstance(first, ast.Constant) and isinstance(last, ast.Constant) and first.value == start
    }


def second_cache_roots(root: Path) -> set[str]:
    homes = {name for name, tree in modules(root) if "~/.cache/runner" in constants(tree)}
    return homes - {"runner/rundir/cache_root.py"}


def second_file_names(root: Path) -> set[str]:
    homes = {name for name, tree in modules(root) if constants(tree) & (FILES - SHARED)}
    return homes - {"runner/rundir/layout.py"}


def constants(tree: ast.Module) -> set[str]:
    """The texts of `tree` that are no parts of longer ones."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize(
    ("look", "planted"),
    [
        (second_kinds, 'RETRIED = ("timeout", "preempted", "killed")'),
        (second_judges, 'def lives(pid): return open(f"/proc/{pid}/stat").read() != ""'),
        (second_judges, "from runner.rundir.processes import start_time"),
        (second_cache_roots, 'ROOT = "~/.cache/runner"'),
        (second_file_names, 'def result(run): return run / "result.json"'),
    ],
)
def test_a_second_definition_that_is_planted_is_found(
    look: Callable[[Path], set[str]], planted: str, tmp_path: Path
) -> None:
    assert look(ROOT) == set()
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    module = tmp_path / "jobs" / "node" / "memory.py"
    module.write_text(f"{module.read_text()}\n\n{planted}\n")
    assert look(tmp_path) == {"jobs/node/memory.py"}


def raw_readers(tree: ast.Module) -> set[str]:
    """Files with a record of their own that a module reads as raw JSON: read_json(run.result) and the like."""
    recorded = {"result", "failure", "heartbeat", "claim", "manifest", "submission_log", "follower", "pool_state"}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    read = [call for call in calls if call.func.id in ("read_json", "read_mapping", "read_json_lines")]  # type: ignore[attr-defined]
    return {a.attr for call in read for a in call.args if isinstance(a, ast.Attribute)} & recorded


def test_files_with_a_record_are_read_by_its_reader_alone() -> None:
    raw = {name: files for name, tree in modules() if (files := raw_readers(tree))}
    assert raw == {"runner/rundir/manifest.py": {"manifest", "submission_log"}}
    assert raw_readers(ast.parse("read_json(run.result)")) == {"result"}
