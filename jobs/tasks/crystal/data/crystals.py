"""A crystal of a data set: structure, measured or computed properties, texts."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.errors import UserError

_IN_ORDER = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt "
    "Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc "
    "Lv Ts Og"
)
SYMBOLS = ("", *_IN_ORDER.split(" "))  # by atomic number; 0 is no element
ATOMIC_NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS) if number}
SMALLEST_VOLUME = 0.1  # Å³ per atom; hydrogen at extreme pressure has about 1


@dataclass(frozen=True, eq=False)
class Crystal:
    """One crystal with n atoms in its cell. Made by `crystal()`, which checks it."""

    material_id: str
    lattice: NDArray[np.float64]  # (3, 3) rows are the cell vectors, Å
    fractional: NDArray[np.float64]  # (n, 3) coordinates in units of the cell vectors
    atomic_numbers: NDArray[np.int64]  # (n,)
    targets: Mapping[str, float] = field(default_factory=dict)  # in the data set's own units
    texts: Mapping[str, str] = field(default_factory=dict)  # kind of description → text
    split: str | None = None  # train, val or test of the official split

    @property
    def positions(self) -> NDArray[np.float64]:
        """(n, 3) Cartesian coordinates, Å."""
        return self.fractional @ self.lattice

    @property
    def volume(self) -> float:
        """Volume of the cell, Å³."""
        return float(abs(np.linalg.det(self.lattice)))

    @property
    def symbols(self) -> list[str]:
        return [SYMBOLS[number] for number in self.atomic_numbers]

    @cached_property
    def formula(self) -> str:
        """Reduced formula, elements in alphabetical order: `O2Ti` for rutile."""
        return reduced_formula(self.atomic_numbers)

    @cached_property
    def structure_key(self) -> str:
        """32 hex digits that name lattice, coordinates and species, to the last bit."""
        arrays = ((self.lattice, "<f8"), (self.fractional, "<f8"), (self.atomic_numbers, "<i8"))
        data = b"".join(np.ascontiguousarray(array, dtype=kind).tobytes() for array, kind in arrays)
        return hashlib.sha256(data).hexdigest()[:32]


def reduced_formula(atomic_numbers: Iterable[int]) -> str:
    """Composition divided by its greatest common divisor, elements in alphabetical order, ones left out."""
    numbers, counts = np.unique(np.fromiter(atomic_numbers, dtype=np.int64), return_counts=True)
    divisor = math.gcd(*counts.tolist())
    parts = sorted((SYMBOLS[number], count // divisor) for number, count in zip(numbers, counts, strict=True))
    return "".join(symbol if count == 1 else f"{symbol}{count}" for symbol, count in parts)


def crystal(
    material_id: str,
    lattice: Any,
    symbols: Iterable[str],
    coordinates: Any,
    *,
    cartesian: bool = False,
    targets: Mapping[str, float] | None = None,
    texts: Mapping[str, str] | None = None,
    split: str | None = None,
    where: str = "",
) -> Crystal:
    """A checked crystal from a (3, 3) lattice in Å and (n, 3) coordinates, fractional or in Å.

    Raises UserError, naming `material_id` and `where` it stands, for wrong shapes, values that are not finite, a cell
    without volume, an unknown element and no atoms.
    """
    problem = f"crystal {material_id!r}{f' in {where}' if where else ''}: "
    if not material_id.strip() or not material_id.isprintable():
        raise UserError(f"{problem}an id is a text without control characters, and not empty")
    cell = _numbers(lattice, problem + "lattice")
    points = _numbers(coordinates, problem + "coordinates")
    names = list(symbols)
    if cell.shape != (3, 3):
        raise UserError(f"{problem}the lattice must be three vectors of three numbers; found shape {cell.shape}")
    if not names or points.shape != (len(names), 3):
        raise UserError(f"{problem}{len(names)} elements and coordinates of shape {points.shape}; need (n, 3), n ≥ 1")
    if unknown := sorted({str(name) for name in names if name not in ATOMIC_NUMBERS}):
        raise UserError(f"{problem}unknown element {', '.join(unknown)}; allowed are the symbols from H to Og")
    refuse_flat(cell, len(names), problem)
    return Crystal(
        material_id=material_id,
        lattice=cell,
        fractional=points @ np.linalg.inv(cell) if cartesian else points,
        atomic_numbers=np.array([ATOMIC_NUMBERS[name] for name in names], dtype=np.int64),
        targets=dict(targets or {}),
        texts=dict(texts or {}),
        split=split,
    )


def refuse_flat(cell: NDArray[np.float64], atoms: int, problem: str) -> None:
    """Raise UserError, beginning with `problem`, for a cell that has no room for its atoms."""
    with np.errstate(all="ignore"):
        volume = abs(float(np.linalg.det(cell)))
    if not SMALLEST_VOLUME * atoms <= volume < math.inf:  # NaN too
        raise UserError(f"{problem}the cell has a volume of {volume:.3g} Å³ for {atoms} atoms")


def _numbers(value: Any, what: str) -> NDArray[np.float64]:
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{what}: not an array of numbers ({error})") from error
    if not np.isfinite(array).all():
        raise UserError(f"{what}: a value is not finite")
    return array
