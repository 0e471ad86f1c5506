"""From a row of a file to a crystal: the layouts in which people keep structures."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.data.crystals import Crystal, crystal
from runner.errors import UserError

SPLITS = ("train", "val", "test")
OLDER_SPLITS = {"valid": "val", "validation": "val", "training": "train", "testing": "test"}
SUFFIXES = (".vasp", ".poscar", ".cif", ".xyz")  # of structure files; a file without one is read as POSCAR


def number(value: Any) -> float | None:
    """A finite number, or None for what data sets write where there is no value (`na`, NaN, empty, null)."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


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
    `sites`), and the text of a CIF or POSCAR. Raises UserError for anything else.
    """
    if isinstance(structure, Mapping) and "lattice_mat" in structure:
        lattice, coordinates = structure["lattice_mat"], structure.get("coords")
        symbols, cartesian = structure.get("elements", []), bool(structure.get("cartesian", False))
    elif isinstance(structure, Mapping) and "sites" in structure:
        lattice, coordinates, symbols = _pymatgen_dict(structure, material_id, where)
        cartesian = False
    elif isinstance(structure, str) and structure.strip():
        lattice, coordinates, symbols = parse_text(structure, material_id, where)
        cartesian = False
    else:
        raise UserError(
            f"crystal {material_id!r} in {where}: no structure that can be read; accepted: a jarvis-tools dict with "
            "lattice_mat, a pymatgen dict with sites, the text of a CIF or POSCAR"
        )
    symbols = [str(symbol).strip() for symbol in symbols]
    return crystal(
        material_id,
        lattice,
        symbols,
        coordinates,
        cartesian=cartesian,
        targets=targets,
        texts=texts,
        split=split,
        where=where,
    )


def _pymatgen_dict(structure: Mapping[str, Any], material_id: str, where: str) -> tuple[Any, list[Any], list[str]]:
    try:
        sites = structure["sites"]
        species = [site["species"] for site in sites]
        if any(len(kinds) != 1 or kinds[0].get("occu", 1) != 1 for kinds in species):
            raise _disordered(material_id, where)
        symbols = [str(kinds[0]["element"]).rstrip("+-0123456789.") for kinds in species]
        return structure["lattice"]["matrix"], [site["abc"] for site in sites], symbols
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(
            f"crystal {material_id!r} in {where}: a pymatgen dict without {error}; it needs lattice.matrix and, for "
            "each site, abc and species"
        ) from error


def parse_text(text: str, material_id: str, where: str) -> tuple[Any, Any, list[str]]:
    """Lattice, fractional coordinates and symbols from the text of a CIF or POSCAR."""
    is_cif = "_cell_length_a" in text
    return _parsed(text, "cif" if is_cif else "poscar", material_id, where)


def read_structure(path: Path, material_id: str) -> tuple[Any, Any, list[str]]:
    """Lattice, fractional coordinates and symbols from a structure file, by its suffix."""
    kind = {".cif": "cif", ".xyz": "xyz"}.get(path.suffix.lower(), "poscar")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"crystal {material_id!r}: cannot read {path}: {error}") from error
    return _parsed(text, kind, material_id, str(path))


def _parsed(text: str, kind: str, material_id: str, where: str) -> tuple[Any, Any, list[str]]:
    """Parse with ASE, which reads the three formats from a stream."""
    from ase.io import read

    formats = {"cif": "cif", "xyz": "extxyz", "poscar": "vasp"}
    stream: Any = io.BytesIO(text.encode()) if kind == "cif" else io.StringIO(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms: Any = read(stream, index=0, format=formats[kind])
    except Exception as error:  # a parser of a foreign format raises whatever its first surprise raises
        raise UserError(
            f"crystal {material_id!r} in {where}: not a readable {kind.upper()} ({type(error).__name__}: {error})"
        ) from error
    occupied = {share for site in atoms.info.get("occupancy", {}).values() for share in site.values()}
    if occupied - {1.0}:
        raise _disordered(material_id, where)
    if atoms.cell.rank < 3:
        needs = 'an xyz file needs Lattice="..." in its second line'
        raise UserError(f"crystal {material_id!r} in {where}: no three cell vectors ({needs})")
    return atoms.cell.array, atoms.get_scaled_positions(wrap=False), atoms.get_chemical_symbols()


def _disordered(material_id: str, where: str) -> UserError:
    return UserError(f"crystal {material_id!r} in {where}: a site is partly occupied; graphs need ordered crystals")
