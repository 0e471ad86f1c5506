"""A table with a row a crystal: CSV, JSON, JSON lines (also .gz), Parquet."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.caches import content_key
from jobs.data.crystals import Crystal
from jobs.data.parsed import VERSION
from jobs.data.records import crystal_from, number, split_name
from jobs.data.summary import UNSPLIT, Summary
from runner.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".csv.gz", ".json", ".json.gz", ".jsonl", ".jsonl.gz", ".parquet")
ID_COLUMNS = ("id", "material_id", "jid")
STRUCTURE_COLUMNS = ("structure", "atoms", "cif", "poscar")
SPLIT_COLUMN = "split"
SEPARATORS = {";": "semicolon", "\t": "tab"}  # with which spreadsheets write what they call CSV


def readable(path: Path) -> bool:
    """Whether the name says that it is one of the tables that can be read."""
    return path.name.lower().endswith(SUFFIXES)


def load(path: Path) -> list[Crystal]:
    """Every row as a crystal. Columns of numbers are targets, columns of words are texts.

    Needs a column `id` (or material_id, jid) and `structure` (or atoms, cif, poscar); `split` is optional. Raises
    UserError for a file that cannot be read and for what a row lacks.
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
    return [
        crystal_from(
            str(material_id),
            _decoded(layout),
            targets=values[row],
            texts=words[row],
            split=split_name(splits[row], str(path)),
            where=str(path),
        )
        for row, (material_id, layout) in enumerate(zip(frame[identifier], frame[structure], strict=True))
    ]


def content(path: Path) -> str:
    """A key that changes with the file."""
    try:
        return content_key(VERSION, path.read_bytes())
    except OSError as error:
        raise UserError(f"data.dataset: cannot read {path}: {error}") from error


def summary(path: Path) -> Summary:
    """Targets, text columns and splits; reads the table but no structure."""
    frame = _frame(path)
    _, _, targets, texts = _columns(frame, path)
    splits = frame[SPLIT_COLUMN].tolist() if SPLIT_COLUMN in frame else [None] * len(frame)
    keys = [split_name(value, str(path)) or UNSPLIT for value in splits]
    counts = {
        name: Counter(key for key, value in zip(keys, frame[name], strict=True) if number(value) is not None)
        for name in targets
    }
    return Summary(len(frame), counts, tuple(texts))


def _frame(path: Path) -> pd.DataFrame:
    import pandas as pd  # half a second: not for a configuration that names a shipped set

    name = path.name.lower().removesuffix(".gz")
    try:
        if name.endswith(".csv"):
            return pd.read_csv(path, dtype=dict.fromkeys(ID_COLUMNS, str))
        if name.endswith(".parquet"):
            return pd.read_parquet(path)
        return pd.DataFrame(_json_rows(path, lines=name.endswith(".jsonl")))
    except ImportError as error:
        raise UserError(
            f"data.dataset: reading {path} needs a package that is not installed: {str(error).splitlines()[0]}",
            next_command="pip install pyarrow",
        ) from error
    except (OSError, ValueError) as error:  # pandas and pyarrow raise ValueErrors for bad content
        raise UserError(f"data.dataset: cannot read {path}: {error}") from error


def _json_rows(path: Path, *, lines: bool) -> list[dict[str, Any]]:
    packed = path.read_bytes()
    content = gzip.decompress(packed) if path.name.lower().endswith(".gz") else packed
    rows = [json.loads(line) for line in content.splitlines() if line.strip()] if lines else json.loads(content)
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
    texts = [name for name in rest if name not in targets and any(isinstance(value, str) for value in frame[name])]
    return identifier, structure, targets, texts


def _one_of(names: tuple[str, ...], frame: pd.DataFrame, path: Path) -> str:
    for name in names:
        if name in frame:
            return name
    columns = ", ".join(map(str, frame.columns))
    separated = next((word for sign, word in SEPARATORS.items() if len(frame.columns) == 1 and sign in columns), None)
    if separated:
        raise UserError(
            f"data.dataset: {path}: its columns are separated by {separated}s; save it with commas, and numbers with a "
            f"decimal point\n    found: {columns.expandtabs(4)}"
        )
    raise UserError(
        f"data.dataset: {path} has no column {names[0]!r}\n    allowed: {', '.join(names)}\n    found: {columns}"
    )


def _decoded(structure: Any) -> Any:
    """A structure that a CSV or Parquet cell holds as JSON text."""
    if isinstance(structure, str) and structure.lstrip().startswith("{"):
        try:
            return json.loads(structure)
        except ValueError:
            return structure
    return structure
