"""The two data sets that come with the package; shipped/README.md says where each comes from."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from jobs.tasks.crystal.data.crystals import Crystal
from jobs.tasks.crystal.data.records import crystal_from
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
