"""What a crystal's description says: jarvis-tools, robocrystallographer, or a text column of the data set.

Descriptions that had to be computed are kept in the cache by structure, so that no crystal is described twice.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import time
import uuid
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from jobs.content_cache import content_key, record_build, refuse_read_only, unwritable
from jobs.launch import mapping
from jobs.tasks.crystal.data.crystals import Crystal
from runner.errors import ConfigError, Problem, UserError, nearest
from runner.files import append_json, read_json_lines

PACKAGES = {"jarvis": "jarvis-tools", "robocrys": "robocrys"}  # kinds that can be computed
WORTH_PROCESSES = 64  # crystals; fewer are described before the processes have started
CLEANING = 1  # raised when the choice of text or its cleaning changes, so that old texts are not read


def describe(
    crystals: Sequence[Crystal],
    kind: str,
    root: Path,
    log: Callable[[str], None] = lambda text: None,
    workers: int = 1,
) -> list[str | None]:
    """The text of each crystal, None where the data set has none.

    `kind` is `jarvis`, `robocrys`, or a text column. A column of the data set is preferred to computing; what must be
    computed is read from the cache below `root` or added to it, by at most `workers` processes. Raises UserError for a
    column that no crystal has, and where a package or the right to write is missing.
    """
    if kind not in PACKAGES:
        columns = {name for crystal in crystals for name in crystal.texts}
        if kind not in columns:
            allowed = sorted(columns | PACKAGES.keys())
            what, near = f"the data set has no text column {kind!r}", nearest(kind, allowed)
            raise ConfigError([Problem(what, "text.describe", allowed=", ".join(allowed), nearest=near)])
        return [crystal.texts.get(kind) for crystal in crystals]
    if all(kind in crystal.texts for crystal in crystals):
        return [crystal.texts[kind] for crystal in crystals]
    cache = DescriptionCache(root, kind)
    cache.fill([crystal for crystal in crystals if kind not in crystal.texts], log, workers)
    return [crystal.texts.get(kind) or cache.texts[crystal.structure_key] for crystal in crystals]


class DescriptionCache:
    """Computed descriptions of one kind: JSON lines of structure and text, a file for each builder."""

    def __init__(self, root: Path, kind: str) -> None:
        self.root, self.kind = root, kind
        self.compute = describe_jarvis if kind == "jarvis" else describe_robocrys
        self.folder = root / "descriptions" / f"{kind}-{content_key(_version(kind), CLEANING, length=8)}"
        parts = sorted(self.folder.glob("*.jsonl"))
        self.texts = {line["structure"]: line["text"] for part in parts for line in read_json_lines(part)}

    def fill(self, crystals: Sequence[Crystal], log: Callable[[str], None], workers: int) -> None:
        """Describe those of `crystals` that are not in the cache; an interrupted build goes on where it was."""
        if not (missing := {c.structure_key: c for c in crystals if c.structure_key not in self.texts}):
            return
        log(f"describing {len(missing):,} crystals with {self.kind}")
        start = time.perf_counter()
        part = self.folder / f"{uuid.uuid4().hex}.jsonl"
        try:
            refuse_read_only(os.environ)
            self.folder.mkdir(parents=True, exist_ok=True)
            with mapping(workers if len(missing) >= WORTH_PROCESSES else 1, chunksize=8) as mapped:
                for key, text in zip(missing, mapped(self.compute, missing.values()), strict=True):
                    self.texts[key] = text
                    append_json(part, {"structure": key, "text": text})
        except OSError as error:
            raise unwritable(self.root, f"{len(missing)} {self.kind} descriptions", error) from error
        record_build(self.root, f"{self.kind} descriptions", part, len(missing), time.perf_counter() - start)


def _version(kind: str) -> str:
    package = PACKAGES[kind]
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError(
            f"text.describe: {kind} needs the package {package}, which is not installed",
            next_command=f"pip install {package}, or text.describe: jarvis",
        ) from error


def describe_jarvis(crystal: Crystal) -> str:
    """The prose form (`desc_2`) of jarvis-tools' `Atoms.describe()`, cleaned; about 0.05 s per crystal.

    Atoms, symmetry, composition, bond distances, lattice, XRD peaks and Wyckoff letters: see
    docs/decisions on why this of its three forms.
    """
    from jarvis.core.atoms import Atoms

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        atoms = Atoms(
            lattice_mat=crystal.lattice.tolist(),
            coords=crystal.fractional.tolist(),
            elements=crystal.symbols,
            cartesian=False,
        )
        return clean_jarvis(atoms.describe()["desc_2"])


def clean_jarvis(text: str) -> str:
    """Correct spelling and spacing, and sort the Wyckoff letters, which come in an order that changes by process."""
    text = text.replace("electronegaticities", "electronegativities").replace(".The lattice", ". The lattice")
    text = text.replace("º", "°").replace("'", "")
    if (letters := re.search(r"Wyckoff symbols ([a-zA-Z, ]+)\.$", text)) is None:
        return text
    return f"{text[: letters.start(1)]}{', '.join(sorted(letters[1].split(', ')))}."


def describe_robocrys(crystal: Crystal) -> str:
    """robocrystallographer's description, cleaned; 4 to 6 s per crystal. Needs the extra `robocrys`."""
    try:
        from pymatgen.core import Lattice, Structure
        from robocrys import StructureCondenser, StructureDescriber
    except ImportError as error:
        raise UserError(
            f"text.describe: robocrys needs an extra that is not installed ({error})",
            next_command="pip install 'runner[robocrys]', or text.describe: jarvis",
        ) from error
    structure = Structure(Lattice(crystal.lattice), crystal.symbols, crystal.fractional)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        condensed = StructureCondenser().condense_structure(structure)
        return clean_robocrys(StructureDescriber(describe_symmetry_labels=False).describe(condensed))


def clean_robocrys(text: str) -> str:
    """Correct what robocrystallographer 0.2.13 writes, and make it the same in every process.

    It writes `(np.int64(0), …) direction`, `geometry to  atoms` where it found no neighbours, and lists the ways in
    which polyhedra share (`edge, face, and corner-sharing`) in the order of a set, which changes with PYTHONHASHSEED.
    """
    text = re.sub(r"np\.(?:int|float)\d+\((-?[\d.]+)\)", r"\1", text)
    text = re.sub(r"geometry to +atoms", "geometry to neighbouring atoms", text)
    text = re.sub(r"\b(?:WAY, )*WAY,? and WAY-sharing".replace("WAY", "(?:face|edge|corner)"), _sorted_sharing, text)
    return re.sub(r"\s+", " ", text).strip()


def _sorted_sharing(listed: re.Match[str]) -> str:
    """`edge, corner, and face-sharing` → `face, edge, and corner-sharing`."""
    ways = [way for way in ("face", "edge", "corner") if way in listed[0]]
    return (", ".join(ways[:-1]) + ", and " if len(ways) > 2 else f"{ways[0]} and ") + f"{ways[-1]}-sharing"
