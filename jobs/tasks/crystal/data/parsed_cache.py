"""A data set read once and kept as arrays: thousands of structure files, or a gigabyte of JSON, take minutes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jobs.content_cache import load_array, publish, save_arrays
from jobs.tasks.crystal.data.crystals import Crystal
from runner.files import write_json

VERSION = 1  # of the arrays; part of every key
WORDS = "words.json"  # ids, splits, names of targets, texts, rows left out


@dataclass(frozen=True)
class Parsed:
    """What the rows of a data set hold."""

    crystals: Sequence[Crystal]
    unread: Mapping[str, str] = field(default_factory=dict)  # place of a row without a readable structure → why


def parsed(name: str, key: str, root: Path, read: Callable[[], Parsed]) -> Parsed:
    """The data set `name` with the content `key`: from the cache, else by `read`, and then kept."""
    directory = root / "datasets" / f"{name}-{key}"
    if not directory.is_dir():
        rows = read()
        publish(directory, root, f"crystals of {name}", len(rows.crystals), lambda beside: _save(rows, beside))
    return _load(directory)


def _save(rows: Parsed, directory: Path) -> None:
    crystals = rows.crystals
    targets = sorted({target for crystal in crystals for target in crystal.targets})
    columns = sorted({column for crystal in crystals for column in crystal.texts})
    save_arrays(
        directory,
        {
            "lattice": np.array([crystal.lattice for crystal in crystals]).reshape(-1, 3, 3),
            "fractional": np.concatenate([np.zeros((0, 3)), *(crystal.fractional for crystal in crystals)]),
            "atomic_numbers": np.concatenate(
                [np.zeros(0, dtype=np.int64), *(crystal.atomic_numbers for crystal in crystals)]
            ),
            "atoms": np.array([len(crystal.atomic_numbers) for crystal in crystals], dtype=np.int64),
            "targets": np.array([[crystal.targets.get(name, np.nan) for name in targets] for crystal in crystals]),
        },
    )
    words = {
        "ids": [crystal.material_id for crystal in crystals],
        "splits": [crystal.split for crystal in crystals],
        "targets": targets,
        "texts": {column: [crystal.texts.get(column) for crystal in crystals] for column in columns},
        **({"unread": dict(rows.unread)} if rows.unread else {}),
    }
    write_json(directory / WORDS, words, indent=None)


def _load(directory: Path) -> Parsed:
    words: dict[str, Any] = json.loads((directory / WORDS).read_bytes())
    ends = np.cumsum(load_array(directory, "atoms"))[:-1]
    lattice = np.array(load_array(directory, "lattice"))
    fractional = np.split(np.array(load_array(directory, "fractional")), ends)
    numbers = np.split(np.array(load_array(directory, "atomic_numbers")), ends)
    values = load_array(directory, "targets").tolist()
    crystals = [
        Crystal(
            material_id=material_id,
            lattice=lattice[row],
            fractional=fractional[row],
            atomic_numbers=numbers[row],
            targets={name: value for name, value in zip(words["targets"], values[row], strict=True) if value == value},
            texts={column: texts[row] for column, texts in words["texts"].items() if texts[row] is not None},
            split=words["splits"][row],
        )
        for row, material_id in enumerate(words["ids"])
    ]
    return Parsed(crystals, words.get("unread", {}))
