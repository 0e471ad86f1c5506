"""The documentation site has every page; its strict links are checked by `make site`."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.generate import site_pages

REPOSITORY = Path(__file__).parents[2]
SITE = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"))


def named(nav: list[Any]) -> Iterator[str]:
    """Every page of a navigation, at any depth."""
    for entry in nav:
        for place in entry.values():
            yield from named(place) if isinstance(place, list) else [place]


def test_navigation_names_every_page_once() -> None:
    pages = [str(page) for page in site_pages.pages() if not fnmatch(str(page), "docs/decisions/0*.md")]
    assert sorted(named(SITE["nav"])) == pages


def test_index_of_the_decisions_names_those_that_the_navigation_leaves_to_it() -> None:
    folder = REPOSITORY / "docs" / "decisions"
    linked = site_pages.linked(Path("docs/decisions/README.md"))
    assert {path.relative_to(REPOSITORY) for path in folder.glob("0*.md")} <= linked


def test_pages_are_laid_out_with_what_they_link_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_pages, "PAGES", tmp_path / "pages")
    site_pages.main()
    assert {"README.md", "LICENSE", "docs", "configs"} <= {path.name for path in (tmp_path / "pages").iterdir()}
    assert (tmp_path / "pages" / "docs" / "img" / "report-demo-3-seeds-laptop-light.png").exists()
