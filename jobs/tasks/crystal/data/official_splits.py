"""The splits that published results on JARVIS and MEGNET data use: those of jarvis-leaderboard, by target.

For dft_3d each target has a split of its own, over the crystals of 2021; the ids keep their split in the newer and
larger versions of the set, whose other crystals belong to none. Ids are shipped as numbers, ascending, each as its
distance to the one before.
"""

from __future__ import annotations

from functools import cache
from itertools import accumulate

from jobs.tasks.crystal.data import shipped_sets
from jobs.tasks.crystal.data.records import SPLITS

FILE = "jarvis_splits.jsonl.gz"
VERSIONS = {"dft_3d_2021": "dft_3d", "dft_3d_2022": "dft_3d"}  # other versions of the set that a split is for


def official_split(dataset: str, target: str) -> dict[str, str]:
    """Id → train, val or test; empty where there is no published split."""
    return {
        f"{prefix}{number}": split
        for prefix, split, distances in _rows().get((VERSIONS.get(dataset, dataset), target), ())
        for number in accumulate(distances)
    }


@cache
def _rows() -> dict[tuple[str, str], list[tuple[str, str, list[int]]]]:
    """(data set, target) → prefix of the ids, split, distances."""
    splits: dict[tuple[str, str], list[tuple[str, str, list[int]]]] = {}
    for row in shipped_sets.rows(FILE):
        for target in row["targets"]:
            splits.setdefault((row["set"], target), []).extend((row["prefix"], name, row[name]) for name in SPLITS)
    return splits
