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
ATOMIC_NUMBERS})
    if unknown:
        raise UserError(f"{problem}unknown element {', '.join(unknown)}; allowed are the symbols from H to Og")
    volume = abs(float(np.linalg.det(cell)))
    if volume < SMALLEST_VOLUME * len(names):
        raise UserError(f"{problem}the cell has a volume of {volume:.3g} Å³ for {len(names)} atoms")
    return Crystal(
        material_id=material_id,
        lattice=cell,
        fractional=points @ np.linalg.inv(cell) if cartesian else points,
        atomic_numbers=np.array([ATOMIC_NUMBERS[name] for name in names], dtype=np.int64),
        targets=dict(targets or {}),
        texts=dict(texts or {}),
        split=split,
    )


def _numbers(value: Any, what: str) -> NDArray[np.float64]:
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"{what}: not an array of numbers ({error})") from error
    if not np.isfinite(array).all():
        raise UserError(f"{what}: a value is not finite")
    return array
