"""A table with a row a crystal: CSV, JSON, JSON lines (also .gz), Parquet."""

from __future__ import annotations

import io
import json
from collections import Counter
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
from jobs.tasks.crystal.data.summary import UNSPLIT, Summary
from runner.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".csv.gz", ".json", ".json.gz", ".jsonl", ".jsonl.gz", ".parquet")
ID_COLUMNS = ("id", "material_id", "jid")
STRUCTURE_COLUMNS = ("structure", "atoms", "cif", "poscar")
SPLIT_COLUMN = "split"


def readable(path: Path) -> bool:
    """Whether the name says that it is one of the tables that can be read."""
    return path.name.lower().endswith(SUFFIXES)


def load(path: Path, unread: dict[str, str] | None = None) -> list[Crystal]:
    """Every row as a crystal. Columns of numbers are targets, columns of words are texts.

    Needs a column `id` (or material_id, jid) and `structure` (or atoms, cif, poscar); `split` is optional. Raises
    UserError for a file that cannot be read and for what a row lacks; with `unread` such rows are left out, and why
    stands there.
    """
    frame = _frame(path)
    identifier, structure, targets, texts = _columns(frame, path)
    splits = frame[SPLIT_COLUMN].tolist() if SPLIT_COLUMN in frame else [None] * len(frame)
    values = [
        {name: found for name, value in zip(targets, row, strict=True) if (found := number(value)) is not None}
        for row in frame[targets].itertuples(index=False, name=None)
    ]
    words = [
        {name: word for name, word in zip(texts, row, strict=True) if isinstance(word, str) and word.strip()}
        for row in frame[texts].itertuples(index=False, name=None)
    ]
    crystals = []
    for row, (material_id, layout) in enumerate(zip(frame[identifier], frame[structure], strict=True)):
        with skipping(unread, f"{path}, {material_id}"):
            crystals.append(
                crystal_from(
                    str(material_id),
                    layout,
                    targets=values[row],
                    texts=words[row],
                    split=split_name(splits[row], str(path)),
                    where=str(path),
                )
            )
    return crystals


def content(path: Path) -> str:
    """A key that changes with the file."""
    return content_key(VERSION, _bytes(path))


def summary(path: Path) -> Summary:
    """Targets, text columns and splits; reads the table but no structure."""
    frame = _frame(path)
    identifier, _, targets, texts = _columns(frame, path)
    refuse_twice(map(str, frame[identifier]), path)
    splits = frame[SPLIT_COLUMN].tolist() if SPLIT_COLUMN in frame else [None] * len(frame)
    keys = [split_name(value, str(path)) or UNSPLIT for value in splits]
    counts = {
        name: Counter(key for key, value in zip(keys, frame[name], strict=True) if number(value) is not None)
        for name in targets
    }
    return Summary(len(frame), counts, tuple(texts), _no_numbers(frame))


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
            return pd.read_csv(io.BytesIO(data), dtype=dict.fromkeys(ID_COLUMNS, str))
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


def _columns(frame: pd.DataFrame, path: Path) -> tuple[str, str, list[str], list[str]]:
    """The id column, the structure column, the targets and the texts."""
    identifier = _one_of(ID_COLUMNS, frame, path)
    structure = _one_of(STRUCTURE_COLUMNS, frame, path)
    if frame[identifier].isna().any():
        raise UserError(f"data.dataset: {path}: {int(frame[identifier].isna().sum())} rows have no {identifier}")
    rest = [str(name) for name in frame.columns if name not in {identifier, structure, SPLIT_COLUMN}]
    targets = [name for name in rest if any(number(value) is not None for value in frame[name])]
    texts = [
        name
        for name in rest
        if name not in targets and any(isinstance(word, str) and word.strip() for word in frame[name])
    ]
    return identifier, structure, targets, texts


def _one_of(names: tuple[str, ...], frame: pd.DataFrame, path: Path) -> str:
    for name in names:
        if name in frame:
            return name
    raise UserError(
        f"data.dataset: {path} has no column {names[0]!r}\n    allowed: {', '.join(names)}\n"
        f"    found: {', '.join(map(str, frame.columns))}"[:500]
        + separated_otherwise(",".join(map(str, frame.columns[:1])))
    )
