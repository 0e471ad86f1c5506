"""`analysis summarize` answers on fifteen lines of a hundred columns, whatever the search."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_report_pages import DEMO, SEARCHES

from analysis_command import analysis_command
from experiment_factory import NOW, Plan, PlannedVariant, write_experiment

LONG = [PlannedVariant(f"{variant.name} and a name that is longer than its column", 0.2) for variant in DEMO]


def long_names(folder: Path) -> Path:
    return write_experiment(folder, Plan(LONG, crystal_noise=0.02))


def unfinished(folder: Path) -> Path:
    missing = {0: "running", 1: "failed", 2: "new"}
    variants = [*DEMO, *(PlannedVariant(f"missing {number}", 0.1, states=missing) for number in range(9))]
    return write_experiment(folder, Plan(variants, crystal_noise=0.02))


@pytest.mark.parametrize("made", [*SEARCHES.values(), long_names, unfinished], ids=[*SEARCHES, "long", "unfinished"])
def test_the_answer_fits_fifteen_lines(made, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("time.time", lambda: NOW)
    status, out, _ = analysis_command(monkeypatch, capsys)("summarize", made(tmp_path), "--no-report")
    assert status == 0
    screen = sum(max(1, -(-len(line) // 100)) for line in out.splitlines())
    assert screen + 1 <= 15  # and where the report lies
    assert "--all" in out
