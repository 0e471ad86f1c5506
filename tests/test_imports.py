"""Imports go one way, and what must be light is light."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LIGHT = [
    "runner.cli",
    "runner.commands.submit",
    "runner.commands.supervise",
    "runner.commands.doctor",
    "jobs.node.child",
    "jobs.node.pool",
    "jobs.tasks.registry",
    "jobs.node.parent",
    "jobs.tasks.crystal.schema",
    "jobs.tasks.crystal.task",
    "jobs.tasks.sentiment.task",
    "models.options",
    "models.fusion.registry",
    "runner.health.judgement",
    "analysis.rank.choice",
    "analysis.rank.comparability",
    "analysis.cli",
]


def test_import_contracts_hold() -> None:
    program = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert program, "import-linter is not installed"
    done = subprocess.run([program], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("module", LIGHT)
def test_module_imports_without_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit(bool({{'torch', 'transformers', 'jarvis'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-P", "-c", code]).returncode == 0
