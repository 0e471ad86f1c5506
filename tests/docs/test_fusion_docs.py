"""The tables in the docs are those of the code and of the measurements."""

from __future__ import annotations

import pytest

from benchmarks import fusion_study, parameters
from benchmarks.page import filled, table
from benchmarks.parameters import fusions
from models.fusion.registry import LATE, MIDDLE


def test_tables_of_fusions_are_those_of_the_code() -> None:
    page = parameters.PAGE.read_text(encoding="utf-8")
    assert filled(page, parameters.tables()) == page, "run: python -m benchmarks.parameters"


def test_tables_of_results_are_those_that_were_measured() -> None:
    page = fusion_study.PAGE.read_text(encoding="utf-8")
    assert filled(page, fusion_study.tables(fusion_study.measured())) == page, "run: python -m benchmarks.fusion_study"


def test_every_fusion_has_a_row() -> None:
    for side, entries in (("middle", MIDDLE), ("late", LATE)):
        rows = fusions(side)
        assert all(f"| `{name}` | {entry.formula} |" in rows for name, entry in entries.items() if name != "none")


def test_page_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="has no place for 'middle'"):
        filled("# Fusions\n", {"middle": ""})


def test_numbers_stand_on_the_right() -> None:
    assert table(("a", "b"), [("x", "1")], numbers=1) == "| a | b |\n| --- | ---: |\n| x | 1 |\n"
