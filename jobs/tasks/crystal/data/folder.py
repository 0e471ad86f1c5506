"""A folder in ALIGNN's convention: id_prop.csv beside structure files, and an optional description.csv."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from jobs.content_cache import content_key
from jobs.tasks.crystal.data.crystals import Crystal
from jobs.tasks.crystal.data.file_content import content as content_of
from jobs.tasks.crystal.data.parsed_cache import VERSION
from jobs.tasks.crystal.data.properties import UNNAMED
from jobs.tasks.crystal.data.records import (
    SUFFIXES,
    crystal_from,
    no_number,
    number,
    refuse_twice,
    separated_otherwise,
    skipping,
)
from jobs.tasks.crystal.data.structure_files import StructureFiles
from jobs.tasks.crystal.data.summary import UNSPLIT, Summary
from runner.errors import UserError

ID_PROP = "id_prop.csv"  # id or file name, target[, further targets]; with a header or without
DESCRIPTION = "description.csv"  # id, text; with a header or without
TEXT = "description"  # the name of its text column where it has no header
_LIKE_A_NUMBER = re.compile(r"\s*[-+]?\d+([.,]\d+)?(\s|$)")  # `3,5`, `3 eV`: a value, no name of a column


def load(folder: Path, unread: dict[str, str] | None = None) -> list[Crystal]:
    """Every crystal that id_prop.csv names, with targets and texts.

    Without a header a single target is called `target`, several `target_1` and so on. Raises UserError, with the line,
    for a row without a structure file; with `unread` such rows are left out, and why stands there.
    """
    names, rows, _ = _id_prop(folder)
    texts = _descriptions(folder)
    files = StructureFiles(folder)
    crystals = []
    for line, entry, values in rows:
        material_id = _material_id(entry)
        targets = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        described = texts.get(material_id, texts.get(entry, {}))
        where = str(folder / ID_PROP)
        with skipping(unread, f"{where}:{line}, {material_id}"):
            file = files.find(entry, f"{where}:{line}")
            crystals.append(crystal_from(material_id, file, targets=targets, texts=described, where=where))
    return crystals


def content(folder: Path) -> str:
    """A key that changes with the two CSV files and with the size or time of any structure file."""
    _, rows, _ = _id_prop(folder)
    stats = StructureFiles(folder).stats(entry for _, entry, _ in rows)
    tables = [content_of(path) for path in (folder / ID_PROP, folder / DESCRIPTION) if path.is_file()]
    return content_key(VERSION, stats, *tables)


def summary(folder: Path) -> Summary:
    """Targets and text columns from the two CSV files alone."""
    names, rows, no_numbers = _id_prop(folder)
    refuse_twice((_material_id(entry) for _, entry, _ in rows), folder)
    counts = {name: sum(values[column] is not None for _, _, values in rows) for column, name in enumerate(names)}
    columns = {name for texts in _descriptions(folder).values() for name in texts}
    return Summary(
        len(rows), {name: {UNSPLIT: count} for name, count in counts.items()}, tuple(sorted(columns)), no_numbers
    )


def _material_id(entry: str) -> str:
    return Path(entry).stem if Path(entry).suffix.lower() in SUFFIXES else entry


def _id_prop(folder: Path) -> tuple[list[str], list[tuple[int, str, list[float | None]]], dict[str, str]]:
    """Target names, (line, entry, values) of each row, and target → the first cell of it that is no number."""
    path = folder / ID_PROP
    table = [(line, row) for line, row in enumerate(_csv(path), 1) if any(cell.strip() for cell in row)]
    if not table:
        raise UserError(f"data.dataset: {path} is empty")
    first = table[0][1]
    has_header = all(no_number(cell) and not _LIKE_A_NUMBER.match(cell) for cell in first[1:])
    unnamed = [UNNAMED] if len(first) <= 2 else [f"{UNNAMED}_{column}" for column in range(1, len(first))]
    names = [cell.strip() for cell in first[1:]] if has_header else unnamed
    if not names:
        other = separated_otherwise(",".join(first))
        raise UserError(f"{path}:1: no target column; expected an id and at least one target value{other}")
    rows = []
    no_numbers: dict[str, str] = {}
    for line, row in table[1:] if has_header else table:
        if len(row) != len(names) + 1 or not row[0].strip():
            what = f"{len(row)} columns; expected an id and {len(names)} target values" if row[0].strip() else "no id"
            comma = ", written with a decimal point" if len(row) == len(names) + 2 else ""
            raise UserError(f"{path}:{line}: {what}{comma}")
        cells = zip(names, row[1:], strict=True)
        wrong = {name: f"{cell.strip()[:40]!r} in line {line}" for name, cell in cells if no_number(cell)}
        no_numbers = wrong | no_numbers  # the first of each counts
        rows.append((line, row[0].strip(), [number(cell) for cell in row[1:]]))
    return names, rows, no_numbers


def _descriptions(folder: Path) -> dict[str, dict[str, str]]:
    """Id → text column → text; empty without description.csv."""
    path = folder / DESCRIPTION
    if not path.is_file():
        return {}
    rows = [(line, row) for line, row in enumerate(_csv(path), 1) if row]
    header = [cell.strip().lower() for cell in rows[0][1]] if rows else []
    has_header = bool(header) and header[0] in ("id", "jid", "material_id", "file", "filename", "name")
    names = [cell.strip() for cell in rows[0][1][1:]] if has_header else [TEXT]
    texts: dict[str, dict[str, str]] = {}
    for line, row in rows[1:] if has_header else rows:
        if len(row) != len(names) + 1:
            expected = f"expected an id and {len(names)} (quote texts with commas)"
            raise UserError(f"{path}:{line}: {len(row)} columns; {expected}")
        cells = zip(names, row[1:], strict=True)
        texts[_material_id(row[0].strip())] = {name: text.strip() for name, text in cells if text.strip()}
    return texts


def _csv(path: Path) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(content_of(path).decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"data.dataset: cannot read {path}: {error}; save it as CSV in UTF-8") from error
    except UserError as error:
        raise UserError(f"data.dataset: {error.message}") from error
