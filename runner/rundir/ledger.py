"""The ledger of a search: one page per round, search/NNNN.json, written once and never changed.

A page that is missing or damaged is made again from the results, equal to the first one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runner.files import read_mapping, write_json
from runner.rundir.layout import ExperimentDir


@dataclass(frozen=True)
class Page:
    """What one round decided."""

    kept: tuple[str, ...]  # points, best first
    dropped: Mapping[str, Mapping[str, Any]]  # point → reason, numbers, and the runs of it that will not start
    content: Mapping[str, Any]  # the whole page


def read_page(directory: ExperimentDir, number: int) -> Page | None:
    """The page of round `number`; None where it is missing, damaged, or of another round."""
    content = read_mapping(directory.search_page(number))
    kept, dropped = content.get("kept"), content.get("dropped")
    if not isinstance(kept, list) or not isinstance(dropped, dict) or content.get("round") != number:
        return None
    if not all(isinstance(point, str) for point in kept) or not all(isinstance(why, dict) for why in dropped.values()):
        return None
    return Page(tuple(kept), dropped, content)


def pages(directory: ExperimentDir) -> Iterator[Page]:
    """The pages from the first round on, as far as they are all there."""
    number = 1
    while page := read_page(directory, number):
        yield page
        number += 1


def write_page(directory: ExperimentDir, content: Mapping[str, Any]) -> None:
    """Write the page of a round; call it under the lock of the experiment, where there is none yet."""
    write_json(directory.search_page(int(content["round"])), content)


def dropped_runs(directory: ExperimentDir) -> dict[str, str]:
    """Run id → why the search ended it before its start."""
    ended: dict[str, str] = {}
    for number, page in enumerate(pages(directory), 1):
        for point, why in page.dropped.items():
            runs = why.get("runs")
            text = f"{point} left the search in round {number}: {why.get('reason')}"
            ended |= dict.fromkeys(map(str, runs if isinstance(runs, list) else ()), text)
    return ended
