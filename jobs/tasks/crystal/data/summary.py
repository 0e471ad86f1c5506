"""What a data set offers, small enough to check a configuration against before anything is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.tasks.crystal.data.crystals import Crystal

UNSPLIT = "none"  # key for crystals without an official split


@dataclass(frozen=True)
class Summary:
    """Counts of a data set."""

    crystals: int
    targets: Mapping[str, Mapping[str, int]]  # target → official split (or `none`) → crystals that have it
    texts: tuple[str, ...]  # text columns
    no_numbers: Mapping[str, str] = field(default_factory=dict)  # column → the first cell of it that is no number

    def count(self, target: str) -> int:
        """How many crystals have `target`."""
        return sum(self.targets[target].values())

    def to_json(self) -> dict[str, Any]:
        targets = {name: dict(sorted(counts.items())) for name, counts in sorted(self.targets.items())}
        return {"crystals": self.crystals, "targets": targets, "texts": list(self.texts)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Summary:
        return cls(value["crystals"], value["targets"], tuple(value["texts"]))


def summarize(crystals: Sequence[Crystal]) -> Summary:
    """Count the targets by split, and collect the text columns, of loaded crystals."""
    targets: dict[str, Counter[str]] = {}
    for crystal in crystals:
        for name in crystal.targets:
            targets.setdefault(name, Counter())[crystal.split or UNSPLIT] += 1
    return Summary(len(crystals), targets, tuple(sorted({name for crystal in crystals for name in crystal.texts})))
