"""The pages of the documentation site in build/pages, where mkdocs reads them: every page and every file that one links
to, as they lie in the repository, so that links work here, there and on a code host alike.

python -m docs.generate.site_pages
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = REPOSITORY / "build" / "pages"
_LINK = re.compile(r"\]\(([^)\s#:]+)[)#]")


def pages() -> list[Path]:
    """Every Markdown file of the site, relative to the repository."""
    written = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
    return sorted(path.relative_to(REPOSITORY) for path in written)


def linked(page: Path) -> set[Path]:
    """The files that a page links to, relative to the repository."""
    targets = _LINK.findall((REPOSITORY / page).read_text(encoding="utf-8"))
    found = {(REPOSITORY / page.parent / target).resolve() for target in targets}
    return {path.relative_to(REPOSITORY) for path in found if path.is_file()}


def main() -> None:
    shutil.rmtree(PAGES, ignore_errors=True)
    for file in {path for page in pages() for path in {page, *linked(page)}}:
        (PAGES / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / file, PAGES / file)


if __name__ == "__main__":
    main()
