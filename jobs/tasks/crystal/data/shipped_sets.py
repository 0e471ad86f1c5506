"""What comes with the package, as shipped/README.md says: two data sets, and splits of others.

The splits are those that published results on JARVIS and MEGNET data use: of jarvis-leaderboard, by target. For dft_3d
each target has a split of its own, over the crystals of 2021; the ids keep their split in the newer and larger versions
of the set, whose other crystals belong to none. Ids are shipped as numbers, ascending, each as its distance to the one
before.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import accumulate
from typing import Any

from jobs.tasks.crystal.data.crystals import Crystal
from jobs.tasks.crystal.data.records import SPLITS, crystal_from
from jobs.tasks.crystal.data.summary import Summary

NAMES = ("mp6k", "jarvis_minerals")
TARGETS = {
    "mp6k": ("formation_energy_peratom", "band_gap", "bulk_modulus_vrh", "shear_modulus_vrh"),
    "jarvis_minerals": (
        "formation_energy_peratom",
        "optb88vdw_bandgap",
        "mbj_bandgap",
        "bulk_modulus_kv",
        "shear_modulus_gv",
    ),
}
DESCRIPTIONS = "mp6k_descriptions.jsonl.gz"
INDEX = "index.json"  # the summaries of both
LEADERBOARD = "jarvis_splits.jsonl.gz"
VERSIONS = {"dft_3d_2021": "dft_3d", "dft_3d_2022": "dft_3d"}  # other versions of the set that a split is for


def folder() -> Traversable:
    """Where the files lie."""
    return files("jobs.tasks.crystal.data") / "shipped"


def summary(name: str) -> Summary:
    """Targets, texts and split sizes of `name`, from the shipped index."""
    return Summary.from_json(json.loads((folder() / INDEX).read_text(encoding="utf-8"))[name])


def load(name: str) -> list[Crystal]:
    """All crystals of `name`, with their official split and shipped descriptions."""
    described = {row["id"]: row["jarvis"] for row in rows(DESCRIPTIONS)} if name == "mp6k" else {}
    return [_crystal(name, row, described) for row in rows(f"{name}.jsonl.gz")]


def rows(file: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of a shipped file."""
    with (folder() / file).open("rb") as packed, gzip.open(packed, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _crystal(name: str, row: dict[str, Any], described: dict[str, str]) -> Crystal:
    material_id = row["id"]
    texts = {"robocrys": row["text"]} if "text" in row else {}
    if material_id in described:
        texts["jarvis"] = described[material_id]
    return crystal_from(
        material_id,
        row["atoms"],
        targets={target: float(row[target]) for target in TARGETS[name] if target in row},
        texts=texts,
        split=row["split"],
        where=name,
    )


def official_split(dataset: str, target: str) -> dict[str, str]:
    """Id → train, val or test; empty where there is no published split."""
    return {
        f"{prefix}{number}": split
        for prefix, split, distances in _published().get((VERSIONS.get(dataset, dataset), target), ())
        for number in accumulate(distances)
    }


@cache
def _published() -> dict[tuple[str, str], list[tuple[str, str, list[int]]]]:
    """(data set, target) → prefix of the ids, split, distances."""
    splits: dict[tuple[str, str], list[tuple[str, str, list[int]]]] = {}
    for row in rows(LEADERBOARD):
        for target in row["targets"]:
            splits.setdefault((row["set"], target), []).extend((row["prefix"], name, row[name]) for name in SPLITS)
    return splits
