"""Rebuild the shipped data sets from packages on PyPI, and say how they differ from the files that are shipped.

    python -m benchmarks.rebuild_shipped --out rebuilt [--packages DIR] [--texts 5]

Needs the extra `robocrys`. Takes about five minutes, most of it for the descriptions of mp6k. robocrystallographer
takes 2 to 10 s a crystal, so only the wanted number of its texts is written anew; the others are taken from the shipped
file. README.md beside them says what comes from where.
"""

from __future__ import annotations

import argparse
import ast
import csv
import gzip
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Composition

from jobs.tasks.crystal.data import shipped_sets
from jobs.tasks.crystal.data.records import SPLITS, crystal_from
from jobs.tasks.crystal.text.descriptions import describe_jarvis, describe_robocrys

SOURCES = {  # distribution → version and the file pip makes of it
    "matminer": ("0.3.9", "matminer-0.3.9.tar.gz"),
    "jarvis-leaderboard": ("2024.10.30", "jarvis_leaderboard-2024.10.30-*.whl"),
    "jarvis-tools": ("2026.6.12", "jarvis_tools-2026.6.12-*.whl"),
}
TABLES = ("flla_2015", "elastic_tensor", "dielectric_constant", "piezoelectric_tensor")  # the first that has a crystal
MINERAL_TARGETS = shipped_sets.TARGETS["jarvis_minerals"]
SPLIT_TARGETS = (  # columns of dft_3d; benchmarks are named like them, with _ for -
    *MINERAL_TARGETS,
    *("optb88vdw_total_energy", "ehull", "slme", "spillage", "exfoliation_energy", "magmom_oszicar", "max_efg"),
    *("epsx", "epsy", "epsz", "mepsx", "mepsy", "mepsz", "avg_elec_mass", "avg_hole_mass", "n-Seebeck", "n-powerfact"),
    *("dfpt_piezo_max_dij", "dfpt_piezo_max_dielectric", "kpoint_length_unit", "encut"),
)

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the rebuilt files")
    parser.add_argument(
        "--packages", type=Path, help="where the three distributions lie; fetched with pip when left out"
    )
    parser.add_argument("--texts", type=int, default=0, help="robocrystallographer texts to compute again")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        packages = chosen.packages or fetch(Path(temporary))
        leaderboard = Leaderboard(found(packages, "jarvis-leaderboard"))
        mp6k = materials_project(found(packages, "matminer"), leaderboard)
        minerals = jarvis_minerals(found(packages, "jarvis-tools"), leaderboard, chosen.texts)
        splits = list(official_splits(leaderboard))
    write_rows(chosen.out / "mp6k.jsonl.gz", mp6k)
    write_rows(chosen.out / "jarvis_minerals.jsonl.gz", minerals)
    write_rows(chosen.out / "jarvis_splits.jsonl.gz", splits)
    write_rows(chosen.out / shipped_sets.DESCRIPTIONS, descriptions(mp6k))
    for name in ("mp6k.jsonl.gz", "jarvis_minerals.jsonl.gz", "jarvis_splits.jsonl.gz", shipped_sets.DESCRIPTIONS):
        compare(name, chosen.out / name)


def fetch(folder: Path) -> Path:
    """Download the three distributions with pip; matminer as a source distribution, the only one with its tables."""
    for name, (version, _) in SOURCES.items():
        form = ["--no-binary", name, "--no-build-isolation"] if name == "matminer" else ["--only-binary", name]
        command = [sys.executable, "-m", "pip", "download", "--no-deps", *form, "-d", str(folder), f"{name}=={version}"]
        subprocess.run(command, check=True)
    return folder


def found(packages: Path, name: str) -> Path:
    return next(packages.glob(SOURCES[name][1]))


class Leaderboard:
    """Labels and official splits of jarvis-leaderboard."""

    def __init__(self, wheel: Path) -> None:
        self.wheel = zipfile.ZipFile(wheel)

    def labels(self, name: str) -> dict[str, tuple[str, float]]:
        """Id → (split, label) of a benchmark."""
        path = f"jarvis_leaderboard/benchmarks/AI/SinglePropertyPrediction/{name}.json.zip"
        with zipfile.ZipFile(io.BytesIO(self.wheel.read(path))) as packed:
            content = json.loads(packed.read(f"{name}.json"))
        labels: dict[str, tuple[str, float]] = {}
        for split in SPLITS:
            labels |= {material_id: (split, float(label)) for material_id, label in content[split].items()}
        return labels

    def numbers(self, name: str, prefix: str) -> dict[str, list[int]]:
        """Split → the numbers of ids that begin with `prefix`, ascending, each as its distance to the one before."""
        ids: dict[str, list[int]] = {split: [] for split in SPLITS}
        for material_id, (split, _) in self.labels(name).items():
            if material_id.startswith(prefix):
                ids[split].append(int(material_id.removeprefix(prefix)))
        return {split: np.diff(sorted(numbers), prepend=0).tolist() for split, numbers in ids.items()}


def official_splits(leaderboard: Leaderboard) -> Iterator[Row]:
    """The splits of dft_3d by target, and the one of MEGNET's targets."""
    for target in SPLIT_TARGETS:
        numbers = leaderboard.numbers(f"dft_3d_{target.replace('-', '_')}", "JVASP-")
        yield {"set": "dft_3d", "targets": [target], "prefix": "JVASP-", **numbers}
    for prefix in ("mp-", "mvc-"):
        numbers = leaderboard.numbers("megnet_e_form", prefix)
        yield {"set": "megnet", "targets": ["e_form", "gap pbe"], "prefix": prefix, **numbers}


def materials_project(archive: Path, leaderboard: Leaderboard) -> list[Row]:
    """mp6k: structures of matminer's tables that have labels in the leaderboard's MEGNET benchmarks."""
    energies, gaps = leaderboard.labels("megnet_e_form"), leaderboard.labels("megnet_gappbe")
    rows: dict[str, Row] = {}
    moduli: dict[str, tuple[float, float]] = {}
    for table in TABLES:
        for material_id, record in table_rows(archive, table):
            if table == "elastic_tensor":
                moduli[material_id] = (float(record["K_VRH"]), float(record["G_VRH"]))
            if material_id not in energies or material_id in rows:
                continue
            atoms = from_dict(record["structure"]) if table == "flla_2015" else from_poscar(record["poscar"])
            rows[material_id] = {
                "id": material_id,
                "formula": Composition(dict(Counter(atoms["elements"]))).reduced_formula,
                "source": table,
                "split": energies[material_id][0],
                "atoms": atoms,
                "formation_energy_peratom": energies[material_id][1],
                "band_gap": gaps[material_id][1],
            }
    for material_id in moduli.keys() & rows.keys():
        rows[material_id]["bulk_modulus_vrh"], rows[material_id]["shear_modulus_vrh"] = moduli[material_id]
    return sorted(rows.values(), key=lambda row: int(row["id"].split("-")[1]))


def table_rows(archive: Path, table: str) -> Iterator[tuple[str, Row]]:
    """(material id, columns) of a table; two of them have an unnamed column before the others."""
    csv.field_size_limit(1 << 30)
    with tarfile.open(archive) as packed:
        member: Any = packed.extractfile(f"{archive.name.removesuffix('.tar.gz')}/matminer/datasets/{table}.csv")
        lines = io.TextIOWrapper(member, encoding="utf-8", newline="")
        lines.readline()  # a comment with the reference
        reader = csv.reader(lines)
        header = next(reader)
        for values in reader:
            record = dict(zip(header, values[len(values) - len(header) :], strict=True))
            yield record["material_id"], record


def from_dict(text: str) -> Row:
    """A pymatgen structure in Python's notation."""
    structure = ast.literal_eval(text)
    sites = structure["sites"]
    elements = [site["species"][0]["element"] for site in sites]
    return rounded(structure["lattice"]["matrix"], elements, [site["abc"] for site in sites])


def from_poscar(text: str) -> Row:
    """A POSCAR with scale 1, direct coordinates, and the element after each position."""
    lines = text.strip().split("\n")
    lattice = [[float(value) for value in line.split()] for line in lines[2:5]]
    sites = [line.split() for line in lines[8:]]
    return rounded(lattice, [site[3] for site in sites], [[float(value) for value in site[:3]] for site in sites])


def rounded(lattice: Any, elements: list[str], coordinates: Any) -> Row:
    """The jarvis-tools layout, 6 decimals."""

    def six(rows: Any) -> list[list[float]]:
        return [[round(float(value), 6) + 0.0 for value in row] for row in rows]

    return {"lattice_mat": six(lattice), "elements": elements, "coords": six(coordinates), "cartesian": False}


def jarvis_minerals(wheel: Path, leaderboard: Leaderboard, texts: int) -> list[Row]:
    """Crystals of jarvis-tools' table of minerals that are in the leaderboard's formation-energy benchmark."""
    labels = {target: leaderboard.labels(f"dft_3d_{target}") for target in MINERAL_TARGETS}
    shipped = {row["id"]: row["text"] for row in shipped_sets.rows("jarvis_minerals.jsonl.gz")}
    with zipfile.ZipFile(wheel) as packed:
        inner = zipfile.ZipFile(io.BytesIO(packed.read("jarvis/core/mineral_name_prototype.json.zip")))
        prototypes = json.loads(inner.read("mineral_name_prototype.json"))
    rows: dict[str, Row] = {}
    for mineral, _, material_id, atoms in (entry for entries in prototypes.values() for entry in entries):
        if material_id in labels["formation_energy_peratom"]:  # under several names: the last one
            layout = rounded(atoms["lattice_mat"], atoms["elements"], atoms["coords"])
            layout["cartesian"] = bool(atoms["cartesian"])
            split = labels["formation_energy_peratom"][material_id][0]
            targets = {name: its[material_id][1] for name, its in labels.items() if material_id in its}
            row = {"id": material_id, "mineral": mineral, "split": split, "atoms": layout}
            rows[material_id] = {**row, "text": shipped.get(material_id, ""), **targets}
    ordered = sorted(rows.values(), key=lambda row: int(row["id"].split("-")[1]))
    for row in ordered[:: -(-len(ordered) // texts)] if texts else []:
        row["text"] = describe_robocrys(crystal_from(row["id"], row["atoms"], targets={}, texts={}, where="minerals"))
    return ordered


def descriptions(rows: Iterable[Row]) -> Iterator[Row]:
    """jarvis-tools' description of each crystal."""
    for row in rows:
        it = crystal_from(row["id"], row["atoms"], targets={}, texts={}, where="mp6k")
        yield {"id": row["id"], "jarvis": describe_jarvis(it)}


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """JSON lines, packed without a time stamp, so that equal content makes equal files."""
    with path.open("wb") as file, gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
        for row in rows:
            packed.write((json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n").encode())


def compare(name: str, path: Path) -> None:
    """Print how many rows equal the shipped ones, and in which columns the others differ."""

    def keyed(rows: Iterable[Row]) -> dict[str, Row]:
        return {row["id"] if "id" in row else f"{row['targets']} {row['prefix']}": row for row in rows}

    shipped = keyed(shipped_sets.rows(name))
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rebuilt = keyed(map(json.loads, lines))
    differ: dict[str, int] = {}
    for identifier in shipped.keys() & rebuilt.keys():
        for column in shipped[identifier].keys() | rebuilt[identifier].keys():
            if shipped[identifier].get(column) != rebuilt[identifier].get(column):
                differ[column] = differ.get(column, 0) + 1
    unpaired = len(shipped.keys() ^ rebuilt.keys())
    print(f"{name}: {len(rebuilt):,} rows rebuilt, {len(shipped):,} shipped, {unpaired:,} of them in one file only")
    print(f"    rows in which a column differs: {differ or 'none'}")


if __name__ == "__main__":
    main()
