"""The tables of docs/search.md: the replay of the synthetic table, and what proposals cost and bring."""

from __future__ import annotations

import json

from benchmarks import search_proposals, search_replay
from benchmarks.page import table
from docs.generate.reference import DOCS

PAGE = DOCS / "search.md"


def tables() -> dict[str, str]:
    """The parts of the page, by the names of their places."""
    found = json.loads(search_proposals.MEASURED.read_text(encoding="utf-8"))
    took, processor = found["seconds"], found["processor_seconds"]
    missed = "" if took <= search_proposals.LIMIT else ", **missed**"
    rows = [
        (f"{its['points']}", f"{its['noise']:.0%}", *(f"{its[way] - 1:.1%}" for way in ("drawn", "proposed")),
         f"{its['gain']:.1%} ± {its['two_standard_errors']:.1%}") for its in found["cases"]
    ]  # fmt: skip
    header = ("points", "noise", "drawn: above the best", "proposed: above the best", "gain")
    return {
        "replay": _replay(),
        "seconds": f"100 proposals from 1,000 results take {took:.0f} s (asked: at most 60{missed}), {processor:.0f} s "
        f"of a core ({found['machine']['processor']}), checks of the points included.\n",
        "proposals": table(header, rows, numbers=5),
    }


def _replay() -> str:
    """How often each way ends within 5 % of the best of the full matrix, and its cost."""
    second = search_replay.synthetic()
    rows = []
    for keep in ("1/3", "1/4"):
        for line in search_replay.report(second, "p0", keep, 500, 0.8, 0.05)[:4]:
            way, _, rest = line.partition(": ")
            outcome, _, cost = rest.partition(", cost ")
            rows.append((keep, way, outcome.removeprefix("good in "), cost))
    return table(("`keep`", "way", "within 5 % of the best", "cost"), rows, numbers=2)
