"""The data sets of JARVIS, downloaded once by jarvis-tools into the cache."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jobs.content_cache import content_key
from jobs.tasks.crystal.data.crystals import Crystal
from jobs.tasks.crystal.data.parsed_cache import VERSION, Parsed, parsed
from jobs.tasks.crystal.data.records import crystal_from, number
from jobs.tasks.crystal.data.shipped_sets import official_split
from jobs.tasks.crystal.data.summary import UNSPLIT, Summary, summarize
from runner.errors import CommandFailed, UserError
from runner.files import read_json, replacing, write_json

NAMES = (
    "dft_3d",
    "dft_3d_2021",
    "dft_3d_2022",
    "dft_2d",
    "dft_2d_2021",
    "megnet",
    "megnet2",
    "mp_3d_2020",
    "qm9_std_jctc",
    "twod_matpd",
    "c2db",
    "qmof",
    "hmof",
    "snumat",
    "alex_pbe_hull",
)
ID_COLUMNS = ("jid", "id", "SNUMAT_id", "material_id")
NOT_TARGETS = {"nat", "kpoint_length_unit", "encut", "spg_number", "spg", "crys", "icsd", "search"}


def load(name: str, root: Path) -> tuple[list[Crystal], list[str]]:
    """All crystals of `name`, and notes; its file must be in the cache below `root`, or the internet in reach.

    Every column of numbers is a target. A few ids stand twice in these files; the first row of each is kept. Raises
    CommandFailed where the file is missing and cannot be fetched.
    """
    crystals = parsed(name, content_key(VERSION, _file(name)), root, lambda: Parsed(_read(name, root))).crystals
    unique = _first_of_each_id(crystals)
    twice = len(crystals) - len(unique)
    return unique, [f"{twice} rows of {name} repeat an id; the first of each was kept"] if twice else []


def _read(name: str, root: Path) -> list[Crystal]:
    crystals = [_crystal(name, row) for row in _rows(name, root) if row.get("atoms")]
    write_json(root / "jarvis" / f"{name}.summary.json", _summarized(name, _first_of_each_id(crystals)).to_json())
    return crystals


def _first_of_each_id(crystals: Sequence[Crystal]) -> list[Crystal]:
    first: dict[str, Crystal] = {}
    return [crystal for crystal in crystals if first.setdefault(crystal.material_id, crystal) is crystal]


def summary(name: str, root: Path) -> Summary | None:
    """What `name` offers, if it was loaded once; None before."""
    value = read_json(root / "jarvis" / f"{name}.summary.json")
    return None if value is None else Summary.from_json(value)


def _summarized(name: str, crystals: list[Crystal]) -> Summary:
    """Counts of each target by its own official split."""
    whole = summarize(crystals)
    targets: dict[str, Mapping[str, int]] = dict(whole.targets)
    for target in whole.targets:
        if split_of := official_split(name, target):
            present = (crystal.material_id for crystal in crystals if target in crystal.targets)
            targets[target] = Counter(split_of.get(material_id, UNSPLIT) for material_id in present)
    return replace(whole, targets=targets)


def _file(name: str) -> str:
    from jarvis.db.figshare import get_db_info

    return str(get_db_info()[name][1])


def _rows(name: str, root: Path) -> list[dict[str, Any]]:
    file = _file(name)
    archive = root / "jarvis" / f"{file}.zip"
    if not archive.is_file():
        _fetch(name, archive)
    try:
        with zipfile.ZipFile(archive) as packed:
            return json.loads(packed.read(file))  # type: ignore[no-any-return]
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise UserError(f"data.dataset: {archive} is damaged ({error}); remove it and fetch it again") from error


def _fetch(name: str, archive: Path) -> None:
    """Download with jarvis-tools beside the archive's place, so that a broken download leaves nothing behind."""
    import requests
    from jarvis.db import figshare

    try:
        with replacing(archive) as beside, tempfile.TemporaryDirectory(dir=archive.parent, suffix=".part") as folder:
            with contextlib.redirect_stdout(io.StringIO()):
                figshare.data(name, store_dir=folder)
            os.replace(Path(folder) / archive.name, beside)
    except (requests.RequestException, zipfile.BadZipFile, OSError) as error:
        raise CommandFailed(
            f"data.dataset: {name} is not in the cache ({archive.parent}) and cannot be fetched from here: "
            f"{type(error).__name__}; compute nodes often have no internet\n    by hand: download "
            f"{figshare.get_db_info()[name][0]} elsewhere and put it as {archive}",
            next_command="runner prepare CONFIG, on the login node",
        ) from error


def _crystal(name: str, row: Mapping[str, Any]) -> Crystal:
    numbers = {
        column: number(value)
        for column, value in row.items()
        if column not in NOT_TARGETS and not isinstance(value, str | list | dict | bool)
    }
    targets = {column: value for column, value in numbers.items() if value is not None}
    if (material_id := next((str(row[column]) for column in ID_COLUMNS if column in row), None)) is None:
        raise UserError(f"data.dataset: {name} has a row without an id; looked for {', '.join(ID_COLUMNS)}")
    return crystal_from(material_id, row["atoms"], targets=targets, texts={}, where=name)
