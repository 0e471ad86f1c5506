"""The tables of docs/fusions.md are those of the code."""

from __future__ import annotations

import pytest

from benchmarks.parameters import FORMULAS, PAGE, filled, table
from models.fusion.registry import LATE, MIDDLE


def test_tables_are_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page) == page, "run: python -m benchmarks.parameters"


def test_every_fusion_has_a_row() -> None:
    assert FORMULAS["middle"].keys() == MIDDLE.keys() - {"none"}
    assert FORMULAS["late"].keys() == LATE.keys() - {"none"}
    for side, names in (("middle", MIDDLE), ("late", LATE)):
        assert all(f"| `{name}` | {FORMULAS[side][name]} |" in table(side) for name in names if name != "none")


def test_page_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="has no place for 'middle'"):
        filled("# Fusions\n")
