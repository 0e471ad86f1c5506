"""Parts of a documentation page that scripts write: from `<!-- name -->` to the next `<!-- end -->`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def filled(page: str, parts: Mapping[str, str]) -> str:
    """`page` with the text of each part in its place; ValueError for a part without one."""
    for name, text in parts.items():
        before, begin, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not (begin and end):
            raise ValueError(f"the page has no place for {name!r}: <!-- {name} --> and <!-- end -->")
        page = before + begin + text + end + after
    return page


def table(header: Iterable[str], rows: Iterable[Iterable[str]], numbers: int = 0) -> str:
    """A Markdown table whose last `numbers` columns are set to the right."""
    names = list(header)
    marks = ["---"] * (len(names) - numbers) + ["---:"] * numbers
    return "".join(f"| {' | '.join(line)} |\n" for line in (names, marks, *rows))
