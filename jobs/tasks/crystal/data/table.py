"""A table with one row per crystal: CSV, JSON, JSON lines (also .gz), Parquet.

The structures stand in a column, or in files that a column `file`, or else the ids, name.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.content_cache import content_key
from jobs.tasks.crystal.data import file_content
from jobs.tasks.crystal.data.crystals import Crystal
from jobs.tasks.crystal.data.parsed_cache import VERSION
from jobs.tasks.crystal.data.records import (
    crystal_from,
    no_number,
    number,
    refuse_twice,
    separated_otherwise,
    skipping,
    split_name,
)
from jobs.tasks.crystal.data.structure_files import StructureFiles
from jobs.tasks.crystal.data.summary import UNSPLIT, Summary
from runner.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".csv.gz", ".json", ".json.gz", ".jsonl", ".jsonl.gz", ".parquet")
ID_COLUMNS = ("id", "material_id", "jid")
STRUCTURE_COLUMNS = ("structure", "atoms", "cif", "poscar")
FILE_COLUMN = "file"  # of a structure file; without it, and without a structure column, files are named by the ids
SPLIT_COLUMN = "split"


def readable(path: Path) -> bool:
    """Whether the name says that it is one of the tables that can be read."""
    return path.name.lower().endswith(SUFFIXES)


def load(path: Path, unread: dict[str, str] | None = None) -> list[Crystal]:
    """Every row as a crystal. Columns of numbers are targets, columns of words are texts.

    Needs a column `id` (or material_id, jid), and `structure` (or atoms, cif, poscar) or structure files; `split` is
    optional. Raises UserError for a file that cannot be read and for what a row lacks; with `unread` rows without a
    readable structure are left out, and why stands there.
    """
    sheet = _sheet(path)
    frame = sheet.frame
    splits = _splits(frame, path)
    values = [
        {name: cell for name, value in zip(sheet.targets, row, strict=True) if (cell := number(value)) is not None}
        for row in frame[sheet.targets].to_numpy(object)
    ]
    words = [
        {name: word for name, word in zip(sheet.texts, row, strict=True) if isinstance(word, str) and word.strip()}
        for row in frame[sheet.texts].to_numpy(object)
    ]
    crystals = []
    for row, (material_id, entry) in enumerate(zip(sheet.ids, frame[sheet.structure], strict=True)):
        place = f"{path}, {material_id}"
        with skipping(unread, place):
            crystals.append(
                crystal_from(
                    material_id,
                    entry if sheet.files is None else sheet.files.find(str(entry), place),
                    targets=values[row],
                    texts=words[row],
                    split=splits[row],
                    where=str(path),
                )
            )
    return crystals


def content(path: Path) -> str:
    """A key that changes with the table, and with the size or time of any structure file that it names."""
    data = _bytes(path)
    if _begins_with_structures(path, data):  # a gigabyte of them is not parsed for a key
        return content_key(VERSION, data)
    sheet = _sheet(path)
    stats = [] if sheet.files is None else [sheet.files.stats(map(str, sheet.frame[sheet.structure]))]
    return content_key(VERSION, *stats, data)


def _begins_with_structures(path: Path, data: bytes) -> bool:
    """Whether the first line of a CSV, or the beginning of a JSON file, names a column of structures."""
    if ".csv" in path.name.lower():
        names = data.partition(b"\n")[0].replace(b'"', b"").replace(b"\r", b"").split(b",")
        return any(name.strip().decode(errors="replace") in STRUCTURE_COLUMNS for name in names)
    return any(f'"{name}"'.encode() in data[: 1 << 16] for name in STRUCTURE_COLUMNS)


def summary(path: Path) -> Summary:
    """Targets, text columns and splits; reads the table but no structure."""
    sheet = _sheet(path)
    refuse_twice(sheet.ids, path)
    keys = [split or UNSPLIT for split in _splits(sheet.frame, path)]
    counts = {
        name: Counter(key for key, value in zip(keys, sheet.frame[name], strict=True) if number(value) is not None)
        for name in sheet.targets
    }
    return Summary(len(sheet.frame), counts, tuple(sheet.texts), _no_numbers(sheet.frame))


def _splits(frame: pd.DataFrame, path: Path) -> list[str | None]:
    cells = frame[SPLIT_COLUMN].tolist() if SPLIT_COLUMN in frame else [None] * len(frame)
    return [split_name(cell, str(path)) for cell in cells]


def _no_numbers(frame: pd.DataFrame) -> dict[str, str]:
    """Column → the first cell that is no number, and its row."""
    words = {str(name): ((row, cell) for row, cell in enumerate(frame[name], 1) if no_number(cell)) for name in frame}
    first = {name: next(cells, None) for name, cells in words.items()}
    return {name: f"{cell[1][:40]!r} in row {cell[0]}" for name, cell in first.items() if cell is not None}


def _bytes(path: Path) -> bytes:
    try:
        return file_content.content(path)
    except UserError as error:
        raise UserError(f"data.dataset: {error.message}") from error


def _frame(path: Path) -> pd.DataFrame:
    import pandas as pd  # half a second: not for a configuration that names a shipped set

    name = path.name.lower().removesuffix(".gz")
    data = _bytes(path)
    try:
        if name.endswith(".csv"):
            words = dict.fromkeys((*ID_COLUMNS, FILE_COLUMN), str)
            return pd.read_csv(io.BytesIO(data), dtype=words).rename(columns=str.strip)
        if name.endswith(".parquet"):
            return pd.read_parquet(io.BytesIO(data))
        return pd.DataFrame(_json_rows(data, lines=name.endswith(".jsonl")))
    except ImportError as error:
        raise UserError(
            f"data.dataset: reading {path} needs a package that is not installed: {str(error).splitlines()[0]}",
            next_command="pip install pyarrow",
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"data.dataset: {path} is not UTF-8: {error}; save it as UTF-8") from error
    except Exception as error:  # a parser of a foreign format raises whatever its first surprise raises
        raise UserError(f"data.dataset: cannot read {path}: {error}") from error


def _json_rows(data: bytes, *, lines: bool) -> list[dict[str, Any]]:
    rows = json.loads(data) if not lines else []
    for at, line in enumerate(data.splitlines() if lines else [], 1):
        try:
            if line.strip():
                rows.append(json.loads(line))
        except ValueError as error:
            raise ValueError(f"broken JSON in line {at}: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("expected a list of objects, one a crystal")
    return rows


@dataclass(frozen=True)
class _Sheet:
    """A table, and which of its columns are what."""

    frame: pd.DataFrame
    ids: list[str]
    structure: str  # the column of structures, or of what names their files
    files: StructureFiles | None  # None: the structures stand in the table
    targets: list[str]
    texts: list[str]


def _sheet(path: Path) -> _Sheet:
    frame = _frame(path)
    if (identifier := next((name for name in ID_COLUMNS if name in frame), None)) is None:
        raise _missing(ID_COLUMNS, frame, path)
    if frame[identifier].isna().any():
        raise UserError(f"data.dataset: {path}: {int(frame[identifier].isna().sum())} rows have no {identifier}")
    column = next((name for name in STRUCTURE_COLUMNS if name in frame), None)
    structure = column or (FILE_COLUMN if FILE_COLUMN in frame else identifier)
    files = None if column else StructureFiles(path.parent)
    if files is not None and not any(files.stats(map(str, frame[structure]))):
        by = f"; or structure files that the column {structure} names; looked {files.places}"
        raise _missing(STRUCTURE_COLUMNS, frame, path, by)
    rest = [str(name) for name in frame.columns if name not in {identifier, structure, SPLIT_COLUMN}]
    targets = [name for name in rest if any(number(value) is not None for value in frame[name])]
    texts = [
        name
        for name in rest
        if name not in targets and any(isinstance(word, str) and word.strip() for word in frame[name])
    ]
    return _Sheet(frame, [str(name) for name in frame[identifier]], structure, files, targets, texts)


def _missing(names: tuple[str, ...], frame: pd.DataFrame, path: Path, otherwise: str = "") -> UserError:
    return UserError(
        f"data.dataset: {path} has no column {names[0]!r}\n    allowed: {', '.join(names)}{otherwise}\n"
        f"    found: {', '.join(map(str, frame.columns))}"[:800]
        + separated_otherwise(",".join(map(str, frame.columns[:1])))
    )
