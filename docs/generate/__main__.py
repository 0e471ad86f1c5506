"""Write every generated page and table of docs/."""

from __future__ import annotations

from benchmarks import fusion_study, parameters
from benchmarks.page import filled
from docs.generate import cost, search, starters
from docs.generate.reference import DOCS, pages


def main() -> None:
    written = pages()
    for path, text in written.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for path in set((DOCS / "reference").glob("*.md")) - set(written):
        path.unlink()  # of a task that is gone
    for part in (cost, search, starters):
        part.PAGE.write_text(filled(part.PAGE.read_text(encoding="utf-8"), part.tables()), encoding="utf-8")
    parameters.main()
    page = fusion_study.PAGE.read_text(encoding="utf-8")
    fusion_study.PAGE.write_text(filled(page, fusion_study.tables(fusion_study.measured())), encoding="utf-8")


main()
