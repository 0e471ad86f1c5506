"""A column is defined once and shown by every output; sections are values that nobody takes apart."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.output.columns import EVERYWHERE, columns
from analysis.output.documents import to_markdown
from analysis.output.report import to_html
from analysis.output.sections import sections
from analysis.output.terminal import show
from analysis.rank.summary import Summary, summarize
from experiment_factory import NOW, Plan, PlannedVariant, write_experiment
from jobs.launch import python_path
from runner.console import console

ROOT = Path(__file__).parents[3]
HOME = "analysis/output/columns.py"
DEFINED = '        Column("state",'
ADDED = '        Column("attempts", lambda variant: 17.25, lambda value: f"{value} tries", importance=100),\n'
SIGNS = ("$ ", " ± ", ": ", " → ")
NAMES = frozenset({"rank", "variant", "state", "seeds", "health", "parameters", "seconds", "gpu_minutes", "flags"})
VARIANTS = [PlannedVariant("2"), PlannedVariant("3", 0.2, layers=(3,)), PlannedVariant("1", 0.3, weights=(0.95, 0.05))]


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / "analysis").rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def defines_columns(tree: ast.Module) -> bool:
    """Whether a list or mapping in `tree` names several columns of the ranked table, or a Column is made there."""
    for node in ast.walk(tree):
        items = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
        named = {item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)}
        made = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Column"
        if made or len(named & NAMES) > 4:
            return True
    return False


def takes_text_apart(tree: ast.Module) -> bool:
    """Whether text is cut or recognised at a sign that our own sentences hold."""
    methods = ("split", "rsplit", "partition", "rpartition", "startswith", "removeprefix", "index", "find")
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute))
    arguments = (node.args[0] for node in calls if node.func.attr in methods and node.args)  # type: ignore[attr-defined]
    return any(isinstance(argument, ast.Constant) and argument.value in (*SIGNS, ":") for argument in arguments)


def test_columns_are_defined_once() -> None:
    assert [name for name, tree in sources() if defines_columns(tree)] == [HOME]


@pytest.mark.parametrize(
    "planted",
    [
        'TITLES = ["#", "variant", "seeds", "health", "flags", "parameters"]',
        'row = {"rank": 1, "variant": v, "state": s, "seeds": n, "health": h}',
        'from analysis.output.columns import Column\nmine = Column("x", len)',
    ],
)
def test_a_second_definition_of_the_columns_is_noticed(planted: str) -> None:
    assert defines_columns(ast.parse(planted))


def test_no_output_takes_our_sentences_apart() -> None:
    assert [name for name, tree in sources() if "/output/" in name and takes_text_apart(tree)] == []
    assert takes_text_apart(ast.parse('level = line.split(":", 1)[0]'))
    assert takes_text_apart(ast.parse('if line.startswith("$ "): pass'))


def test_names_of_columns_differ(summary: Summary) -> None:
    names = [name for column in columns(summary, EVERYWHERE) for name in column.field_names]
    assert len(names) == len(set(names))


def test_a_column_is_added_in_one_file_and_shown_by_every_output(tmp_path: Path) -> None:
    for package in ("analysis", "runner", "jobs", "models"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    home = tmp_path / HOME
    assert home.read_text().count(DEFINED) == 1
    home.write_text(home.read_text().replace(DEFINED, ADDED + DEFINED))
    path = write_experiment(tmp_path, Plan(VARIANTS, crystals=8, epochs=3, best_epoch=2))
    variables = {**os.environ, "PYTHONPATH": python_path(os.environ).replace(str(ROOT), str(tmp_path))}

    def shown(*options: str) -> str:
        command = [sys.executable, "-P", "-m", "analysis.cli", "summarize", str(path), *options]
        return subprocess.run(command, env=variables, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    files = path / "analysis"
    assert "17.25 tries" in shown()
    assert [row["attempts"] for row in json.loads(shown("--format", "json"))["variants"]] == [17.25] * 3
    assert ",attempts," in shown("--format", "csv")
    for name in ("summary.md", "summary.tex", "report.html"):
        assert "attempts" in (files / name).read_text(encoding="utf-8")
        assert "17.25 tries" in (files / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    plan = Plan(VARIANTS, crystal_noise=0.02, manifest={"baseline": "2"})
    return summarize(write_experiment(tmp_path_factory.mktemp("root"), plan), now=NOW)


def printed(summary: Summary, capsys: pytest.CaptureFixture[str], **options: Any) -> list[str]:
    show(summary, console(pipe_width=100), **options)
    return capsys.readouterr().out.splitlines()


def test_short_form_holds_verdict_table_cautions_and_the_next_command(
    summary: Summary, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(summary, capsys)
    assert lines[0].startswith("stage1: 3 variants, 9 runs (9 completed). Take 2 (val_mae 0.09")
    assert any(line.startswith("2  3 ") and " (+" in line for line in lines)  # the interval of the difference
    assert any(line.startswith("3  1 ") and "blocking" in line for line in lines)
    assert "caution: health: 1 blocking" in lines
    assert lines[-1].startswith("next: runner submit ")


@pytest.mark.parametrize("count", [0, 1, 6, 60])
def test_short_form_has_at_most_14_lines_whatever_the_number_of_variants(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int
) -> None:
    variants = [
        PlannedVariant(f"v{n}", 0.1 + n / 100, states={0: "failed"} if n % 5 == 4 else {}) for n in range(count)
    ]
    plan = Plan(variants, seeds=[0], manifest={"baseline": f"v{count - 2}"}, crystals=8, epochs=3, best_epoch=2)
    lines = printed(summarize(write_experiment(tmp_path, plan), now=NOW), capsys)
    assert len(lines) <= 14  # and one for the report
    assert all(len(line) <= 100 for line in lines if not line.startswith("next: "))
    assert count < 7 or any(f" v{count - 2} " in line for line in lines)  # the baseline stays in sight


def test_long_names_and_many_flags_take_one_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed: Any = {0: {"epochs": 2, "adjustments": {"train.micro_batch": 8}}}
    variants = [PlannedVariant(f"{'a long name ' * 7}{n}", 0.1 + n / 100, results=changed) for n in range(3)]
    variants.append(PlannedVariant("plain", 0.2, states={1: "failed"}))
    plan = Plan(variants, crystals=8, epochs=3, best_epoch=2)
    lines = printed(summarize(write_experiment(tmp_path, plan), now=NOW), capsys)
    assert [line[0] for line in lines if line[1:3] == "  "] == ["#", "1", "2", "3", " "]
    assert all(len(line) <= 100 for line in lines if not line.startswith("next: "))
    assert len(lines) <= 14


def test_everything_is_shown_on_request(summary: Summary, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(summary, capsys, everything=True)
    assert {section.title for section in sections(summary)} <= set(lines)


def test_text_that_looks_like_our_own_stays_text(tmp_path: Path) -> None:
    names = ["$ rm -rf x", "blocking: a ± b", "1. c"]
    variants = [PlannedVariant(name, 0.1 + n / 10) for n, name in enumerate(names)]
    found = summarize(write_experiment(tmp_path, Plan(variants, seeds=[0])), now=NOW)
    page, text = to_html(found, [], "k"), to_markdown(found)
    assert page.count("<pre>") == len(found.steps)
    assert 'class="blocking">' not in page
    assert text.count("`") == 2 + 2 * len(found.steps)  # `analysis summarize` and the commands
    assert 'data-key="0.1' in page
