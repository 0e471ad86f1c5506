"""What is defined once stays defined once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from runner.rundir.failures import Kind
from runner.rundir.states import STATES

ROOT = Path(__file__).parents[1]
# Names that only the module itself, and those beside it, may use: what is judged with them is judged there
JUDGING = {
    "start_time": "runner/rundir/processes.py",
    "machine": "runner/rundir/processes.py",
    "state_of": "runner/submit/survey.py",  # and states.py itself, which defines it
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for package in ("runner", "jobs", "models", "analysis"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


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
