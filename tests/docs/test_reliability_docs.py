"""docs/reliability.md and docs/security.md name tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"
BOTH = pytest.mark.parametrize(("page", "least"), [("reliability.md", 40), ("security.md", 12)])


@BOTH
def test_every_test_that_the_page_names_exists(page: str, least: int) -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (DOCS / page).read_text())
    assert len(named) > least
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (TESTS / file).is_file() or f"def {name}(" not in (TESTS / file).read_text()
    ]
    assert missing == []


@BOTH
def test_every_row_of_the_page_names_a_test(page: str, least: int) -> None:
    rows = [
        line for line in (DOCS / page).read_text().splitlines() if line.startswith("|") and not line.startswith("|---")
    ]
    assert [row for row in rows if "::" not in row and not row.rstrip(" |").endswith("test")] == []
