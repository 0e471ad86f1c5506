"""From a row of a file to a crystal: the layouts in which people keep structures."""

from __future__ import annotations

import io
import json
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jobs.tasks.crystal.data.crystals import Crystal, crystal, refuse_flat
from jobs.tasks.crystal.data.file_content import STRUCTURE, content
from runner.errors import UserError

SPLITS = ("train", "val", "test")
OLDER_SPLITS = {"valid": "val", "validation": "val", "training": "train", "testing": "test"}
SUFFIXES = (".vasp", ".poscar", ".cif", ".xyz")  # of structure files; a file without one is read as POSCAR


def number(value: Any) -> float | None:
    """A finite number, or None for what data sets write where there is no value (`na`, NaN, empty, null)."""
    try:
        converted = float(value)
    except (TypeError, ValueError, OverflowError):  # the last: an integer beyond the floats
        return None
    return converted if math.isfinite(converted) else None


_MISSING = {"", "na", "n/a", "nan", "none", "null", "-", "--"}  # what people write where there is no value


def no_number(cell: Any) -> bool:
    """Whether `cell` is words in the place of a number, such as `3,5` or `3 eV`; words for a missing value are none."""
    if not isinstance(cell, str) or cell.strip().lower() in _MISSING:
        return False
    try:
        float(cell)
    except ValueError:
        return True
    return False


def separated_otherwise(header: str) -> str:
    """What to say of a CSV whose first line has other separators, as spreadsheets write it; empty for commas."""
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if separator in header:
            return (
                f"\n    its columns are separated by {name}; a spreadsheet saves it with commas, and numbers with a "
                f"point, in English settings, or: pandas.read_csv(FILE, sep={separator!r}, decimal=',').to_csv(FILE, "
                "index=False)"
            )
    return ""


def refuse_twice(ids: Iterable[str], path: Path) -> None:
    """Raise UserError for ids that stand more than once in the data set at `path`."""
    if twice := sorted(name for name, count in Counter(ids).items() if count > 1):
        shown = ", ".join(twice[:5]) + (", …" if len(twice) > 5 else "")
        raise UserError(f"data.dataset: {len(twice)} ids stand more than once in {path}: {shown}")


@contextmanager
def skipping(unread: dict[str, str] | None, place: str) -> Iterator[None]:
    """Keep in `unread` why what stands at `place` cannot be read, and go on; with None the UserError is raised."""
    try:
        yield
    except UserError as error:
        if unread is None:
            raise
        unread[place] = error.message


MOST_UNREAD = 0.1  # of the rows of a data set


def refuse_many_unread(unread: Mapping[str, str], read: int, path: Path) -> None:
    """Raise UserError where more than a tenth of the rows at `path` has no readable structure; `read` rows have one."""
    rows = len(unread) + read
    if len(unread) > MOST_UNREAD * rows:
        what = f"{len(unread):,} of {rows:,} rows have no readable structure; at most {MOST_UNREAD:.0%} are left out"
        raise UserError(f"data.dataset: {next(iter(unread.values()))}\n    {what}: {names_of(unread)}")


def names_of(unread: Mapping[str, str], most: int = 20) -> str:
    """The ids of the rows that cannot be read, from the places that `skipping` was given (`…, ID`)."""
    names = [place.rpartition(", ")[2] for place in unread]
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def split_name(value: Any, where: str) -> str | None:
    """train, val or test; None for no value. Raises UserError for another name."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    name = OLDER_SPLITS.get(str(value).lower(), str(value).lower())
    if name not in SPLITS:
        raise UserError(f"{where}: unknown split {value!r}; allowed: {', '.join(SPLITS)}")
    return name


def crystal_from(
    material_id: str,
    structure: Any,
    *,
    targets: Mapping[str, float],
    texts: Mapping[str, str],
    split: str | None = None,
    where: str,
) -> Crystal:
    """A crystal from a structure in any accepted layout.

    Accepted: a jarvis-tools dict (`lattice_mat`, `coords`, `elements`, `cartesian`), a pymatgen dict (`lattice`,
    `sites`), the text of a CIF or POSCAR, and the path of a structure file. Raises UserError for anything else.
    """
    if isinstance(structure, str) and structure.lstrip().startswith("{"):  # as a cell of a CSV holds it
        structure = _from_json(structure, material_id, where)
    cartesian = False
    if isinstance(structure, Mapping) and "lattice_mat" in structure:
        lattice, coordinates = structure["lattice_mat"], structure.get("coords")
        symbols, cartesian = structure.get("elements", []), bool(structure.get("cartesian", False))
    elif isinstance(structure, Mapping) and "sites" in structure:
        lattice, coordinates, symbols = _pymatgen_dict(structure, material_id, where)
    elif isinstance(structure, Path):
        lattice, coordinates, symbols = read_structure(structure, material_id)
    elif isinstance(structure, str) and structure.strip():
        lattice, coordinates, symbols = parse_text(structure, material_id, where)
    else:
        raise UserError(
            f"crystal {material_id!r} in {where}: no structure that can be read; accepted: a jarvis-tools dict with "
            "lattice_mat, a pymatgen dict with sites, the text of a CIF or POSCAR"
        )
    if not isinstance(symbols, Iterable) or isinstance(symbols, str):
        raise UserError(f"crystal {material_id!r} in {where}: elements are a list of symbols; found {symbols!r}"[:300])
    return crystal(
        material_id,
        lattice,
        [str(symbol).strip() for symbol in symbols],
        coordinates,
        cartesian=cartesian,
        targets=targets,
        texts=texts,
        split=split,
        where=where,
    )


def _from_json(text: str, material_id: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        quotes = "; Python's own form with single quotes is no JSON, json.dumps writes it" if text[1:2] == "'" else ""
        raise UserError(f"crystal {material_id!r} in {where}: its structure is broken JSON: {error}{quotes}") from None


def _pymatgen_dict(structure: Mapping[str, Any], material_id: str, where: str) -> tuple[Any, list[Any], list[str]]:
    try:
        sites = structure["sites"]
        species = [site["species"] for site in sites]
        if any(len(kinds) != 1 or kinds[0].get("occu", 1) != 1 for kinds in species):
            raise _disordered(material_id, where)
        symbols = [str(kinds[0]["element"]).rstrip("+-0123456789.") for kinds in species]
        return structure["lattice"]["matrix"], [site["abc"] for site in sites], symbols
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise UserError(
            f"crystal {material_id!r} in {where}: a pymatgen dict without {error}; it needs lattice.matrix and, for "
            "each site, abc and species"
        ) from error


def parse_text(text: str, material_id: str, where: str) -> tuple[Any, Any, list[str]]:
    """Lattice, fractional coordinates and symbols from the text of a CIF or POSCAR."""
    return _parsed(text, "cif" if "_cell_length_a" in text else "poscar", material_id, where)


def read_structure(path: Path, material_id: str) -> tuple[Any, Any, list[str]]:
    """Lattice, fractional coordinates and symbols from a structure file, by its suffix."""
    kind = {".cif": "cif", ".xyz": "xyz"}.get(path.suffix.lower(), "poscar")
    try:
        text = content(path, STRUCTURE).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"crystal {material_id!r}: cannot read {path}: {error}") from error
    except UserError as error:
        raise UserError(f"crystal {material_id!r}: {error.message}") from error
    return _parsed(text, kind, material_id, str(path))


def _parsed(text: str, kind: str, material_id: str, where: str) -> tuple[Any, Any, list[str]]:
    """Parse with ASE, which reads the three formats from a stream."""
    from ase.io import read

    problem = f"crystal {material_id!r} in {where}: "
    formats = {"cif": "cif", "xyz": "extxyz", "poscar": "vasp"}
    if kind == "cif" and (block := re.search(r"^data_", text, re.MULTILINE | re.IGNORECASE)):
        text = text[block.start() :]  # jarvis-tools begins with a line that is no comment of CIF
    stream: Any = io.BytesIO(text.encode()) if kind == "cif" else io.StringIO(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms: Any = read(stream, index=0, format=formats[kind])
    except Exception as error:  # a parser of a foreign format raises whatever its first surprise raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200].rstrip(": ")
        raise UserError(f"{problem}not a readable {kind.upper()} ({reason})") from error
    if any(share != 1.0 for site in atoms.info.get("occupancy", {}).values() for share in site.values()):
        raise _disordered(material_id, where)
    if kind == "xyz" and atoms.cell.rank < 3:
        raise UserError(f'{problem}no three cell vectors (an xyz file needs Lattice="..." in its second line)')
    refuse_flat(atoms.cell.array, len(atoms), problem)  # in which fractional coordinates mean nothing
    return atoms.cell.array, atoms.get_scaled_positions(wrap=False), atoms.get_chemical_symbols()


def _disordered(material_id: str, where: str) -> UserError:
    return UserError(f"crystal {material_id!r} in {where}: a site is partly occupied; graphs need ordered crystals")
