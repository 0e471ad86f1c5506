"""Names and sentences are the field's standard terms: no left-hand word of the table in docs/decisions/0120."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ("runner", "jobs", "models", "analysis")
VAGUE = {"found", "its", "told", "here", "said", "there"}  # name what it is
OLD = {
    "sides", "ties", "lost", "beginning", "board", "reserve", "admission", "draws", "prepared", "corpus", "finished",
    "planted", "ending", "fused",
}  # fmt: skip
OLD_CLASSES = {"Shift", "Turn", "Signs", "Place", "Needs", "Held", "Fit", "Fitted"}
SHORT = {"t", "p"}  # of a function that is called from elsewhere
PHRASES = re.compile(
    r"\bmended\b|\btold no\b|nobody logged in|\bone live process a run\b|\ban? \w+ a (run|variant|seed)\b"
)


def modules() -> list[Path]:
    return [path for package in PRODUCT for path in sorted((ROOT / package).rglob("*.py"))]


def names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of whatever is named."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.lineno, node.name


def offences(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bad = [(line, name) for line, name in names(tree) if name in VAGUE or name in OLD_CLASSES]
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name.strip("_") in OLD:
            bad.append((node.lineno, node.name))
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            bad += [(each.lineno, each.arg) for each in arguments if each.arg in SHORT]
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and PHRASES.search(node.value):
            bad.append((node.lineno, node.value))
    if path.stem in OLD:
        bad.append((1, path.stem))
    return [f"{path.relative_to(ROOT)}:{line}: {name}" for line, name in bad]


@pytest.mark.parametrize("package", PRODUCT)
def test_no_name_or_message_holds_a_word_of_the_table(package: str) -> None:
    assert [each for path in modules() if path.relative_to(ROOT).parts[0] == package for each in offences(path)] == []


@pytest.mark.parametrize(
    "planted",
    ["found = 1", "def f(its): pass", "class Fit: pass", "def ties(): pass", "def f(t): pass", 'x = "a row a run"'],
)
def test_a_planted_word_is_seen(tmp_path: Path, planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("test_language.ROOT", tmp_path)
    (tmp_path / "module.py").write_text(planted)
    assert offences(tmp_path / "module.py")
