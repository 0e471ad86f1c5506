"""Crystals as a folder in ALIGNN's convention, for programs that read one.

python -m jobs.tasks.crystal.data.export jarvis_minerals formation_energy_peratom FOLDER --count 40
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from jobs.tasks.crystal.data.crystals import Crystal
from jobs.tasks.crystal.data.folder import DESCRIPTION, ID_PROP
from jobs.tasks.crystal.data.sources import load
from runner.errors import UserError
from runner.files import replacing
from runner.rundir.cache_root import cache_root
from runner.terminal import outputs


def export(crystals: Sequence[Crystal], target: str, folder: Path) -> None:
    """Write `id_prop.csv` (file, target; no header, as ALIGNN's own programs want it), a POSCAR file a crystal, and
    `description.csv` where the crystals have texts.

    Atoms are sorted by element, as the format wants it. Raises UserError where `folder` has an id_prop.csv already.
    """
    if (folder / ID_PROP).exists():
        raise UserError(f"{folder / ID_PROP} exists", next_command="another folder")
    from ase import Atoms
    from ase.io import write

    folder.mkdir(parents=True, exist_ok=True)
    for crystal in crystals:
        atoms = Atoms(crystal.symbols, scaled_positions=crystal.fractional, cell=crystal.lattice, pbc=True)
        write(folder / _file(crystal), atoms, format="vasp", direct=True, sort=True, vasp5=True)
    if kinds := sorted({kind for crystal in crystals for kind in crystal.texts}):
        _write(
            folder / DESCRIPTION,
            [["id", *kinds], *([i.material_id, *(i.texts.get(k, "") for k in kinds)] for i in crystals)],
        )
    _write(
        folder / ID_PROP, [[_file(crystal), repr(crystal.targets[target])] for crystal in crystals]
    )  # last: the folder is whole


def _file(crystal: Crystal) -> str:
    return f"{crystal.material_id}.vasp"


def _write(path: Path, rows: list[list[str]]) -> None:
    with replacing(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.tasks.crystal.data.export", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("dataset", help="a shipped set, a JARVIS set, a folder or a table")
    parser.add_argument("target")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, help="the first so many crystals; all without it")
    chosen = parser.parse_args(arguments)
    try:
        crystals = load(chosen.dataset, chosen.target, cache_root()).crystals
        export(crystals[: chosen.count], chosen.target, chosen.folder)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    with outputs():
        sys.exit(main())
