"""From a crystal to its graph: atoms, bonds to periodic neighbours, and pairs of successive bonds.

A bond runs from an atom i to one of its neighbours j, and messages flow along it from i to j (ALIGNN's direction, so
that a strategy which gives each atom its 12 nearest fixes how many bonds *leave* it). Bonds are numbered by their end
atom, then start atom, then the neighbour's cell, as `models.batch` wants them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from jobs.data.crystals import Crystal
from runner.errors import UserError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SHELL_WIDTH = 0.01  # Å; neighbours this little farther than the last one belong to its shell
SMALLEST_LENGTH = 0.01  # Å; nearer atoms are two records of one, and have no direction between them
EQUAL_LENGTH = 1e-4  # Å; lengths closer than this are the same, and order is decided by index and cell


class GraphChoice(Protocol):
    """The part of the graph parameters that shapes the graph."""

    @property
    def strategy(self) -> str: ...
    @property
    def cutoff(self) -> float | None: ...
    @property
    def max_neighbors(self) -> int: ...
    @property
    def angle_cutoff(self) -> float | None: ...


@dataclass(frozen=True)
class CrystalGraph:
    """Atoms, E bonds and P bond pairs of one crystal."""

    atomic_number: Ints  # (N,)
    src: Ints  # (E,) atom a bond starts at
    dst: Ints  # (E,) atom it ends at, ascending
    vector: Floats  # (E, 3) from start to end, Å
    length: Floats  # (E,) Å
    pair_src: Ints  # (P,) bond i→j
    pair_dst: Ints  # (P,) bond j→k, ascending, and within one the pair_src ascend
    cosine: Floats  # (P,) cos θ of the angle at j, −(r_ij·r_jk)/(|r_ij||r_jk|)


@dataclass(frozen=True)
class Neighbours:
    """M pairs of an atom and a periodic neighbour, in no order."""

    atom: Ints  # (M,)
    neighbour: Ints  # (M,)
    cell: Ints  # (M, 3) which periodic image of the neighbour, in cell vectors
    vector: Floats  # (M, 3) from atom to neighbour, Å
    length: Floats  # (M,) Å

    def where(self, keep: NDArray[np.bool_] | Ints) -> Neighbours:
        """Those at `keep`, a mask or numbers."""
        return Neighbours(self.atom[keep], self.neighbour[keep], self.cell[keep], self.vector[keep], self.length[keep])

    def fields(self) -> tuple[Ints, Ints, Ints, Floats, Floats]:
        return self.atom, self.neighbour, self.cell, self.vector, self.length

    def joined(self, other: Neighbours) -> Neighbours:
        """These, then the others."""
        return Neighbours(*(np.concatenate(pair) for pair in zip(self.fields(), other.fields(), strict=True)))


def crystal_graph(crystal: Crystal, choice: GraphChoice) -> CrystalGraph:
    """The graph of `crystal` by one of four strategies.

    `shell`: the `max_neighbors` nearest and all within 0.01 Å of the last. `nearest`: exactly `max_neighbors`; of
    equally far ones those of lower atom number, then lower cell. `undirected`: shells, and each bond in both
    directions (ALIGNN of 2021). `radius`: all within `cutoff`; an atom without any gets its nearest shell. For the
    other three the cutoff does not limit an atom with too few neighbours: it widens its own radius. Raises UserError
    for two atoms in one place.
    """
    atoms = len(crystal.atomic_numbers)
    if choice.strategy == "radius":
        assert choice.cutoff is not None
        found = _within(crystal, choice.cutoff)
    elif choice.strategy == "nearest":
        found = _nearest(crystal, choice.max_neighbors)
    else:
        found, _ = _shells(crystal, choice.max_neighbors, SHELL_WIDTH)
    if choice.strategy == "undirected":
        found = _both_directions(found, atoms)
    found = found.where(np.argsort(_number(found.neighbour, found.atom, found.cell, atoms)))
    pair_src, pair_dst = _pairs(found.atom, found.neighbour, atoms, found.length, choice.angle_cutoff)
    cosine = _cosines(found.vector / found.length[:, None], pair_src, pair_dst)
    return CrystalGraph(
        atomic_number=crystal.atomic_numbers,
        src=found.atom,
        dst=found.neighbour,
        vector=found.vector,
        length=found.length,
        pair_src=pair_src,
        pair_dst=pair_dst,
        cosine=cosine,
    )


def neighbours(crystal: Crystal, radius: float) -> Neighbours:
    """All periodic neighbours of every atom within `radius` Å. Raises UserError for two atoms in one place."""
    from vesin import NeighborList  # imports torch where it is installed: not before a graph is built

    search = NeighborList(cutoff=radius, full_list=True, n_threads=1)
    atom, neighbour, cell, vector, length = search.compute(
        points=crystal.positions, box=crystal.lattice, periodic=True, quantities="ijSDd"
    )
    if length.size and length.min() < SMALLEST_LENGTH:
        at = int(length.argmin())
        pair = f"{atom[at] + 1} and {neighbour[at] + 1}"
        raise UserError(f"crystal {crystal.material_id!r}: atoms {pair} are {length[at]:.2g} Å apart: recorded twice?")
    return Neighbours(atom.astype(np.int64), neighbour.astype(np.int64), cell.astype(np.int64), vector, length)


def _shells(crystal: Crystal, wanted: int, width: float) -> tuple[Neighbours, Floats]:
    """The `wanted` nearest neighbours of every atom, and all within `width` Å of the last; (N,) its length, Å."""
    atoms = len(crystal.atomic_numbers)
    radius = 1.2 * (3 * (wanted + 1) * crystal.volume / atoms / (4 * np.pi)) ** (1 / 3)  # a little above the mean
    while True:
        found = neighbours(crystal, radius)
        count = np.bincount(found.atom, minlength=atoms)
        if count.min() < wanted:
            radius *= 1.25
            continue
        by_atom = np.argsort(found.atom * (2 * radius) + found.length)
        last = found.length[by_atom[np.cumsum(count) - count + wanted - 1]]  # (N,) Å
        if last.max() + width <= radius:
            return found.where(np.flatnonzero(found.length <= (last + width)[found.atom])), last
        radius = (float(last.max()) + width) * (1 + 1e-9)


def _nearest(crystal: Crystal, wanted: int) -> Neighbours:
    """Exactly `wanted` neighbours of every atom.

    Lengths within 1e-4 Å of the last one are equal, so that rounding does not decide; of those the lower atom number,
    then the lower cell, are taken.
    """
    atoms = len(crystal.atomic_numbers)
    found, last = _shells(crystal, wanted, EQUAL_LENGTH)
    taken = found.length < (last - EQUAL_LENGTH)[found.atom]
    equal = np.flatnonzero(~taken)
    equal = equal[np.argsort(_number(found.atom[equal], found.neighbour[equal], found.cell[equal], atoms))]
    its_atom = found.atom[equal]
    count = np.bincount(its_atom, minlength=atoms)
    rank = np.arange(len(equal)) - (np.cumsum(count) - count)[its_atom]
    room = wanted - np.bincount(found.atom[taken], minlength=atoms)
    taken[equal[rank < room[its_atom]]] = True
    return found.where(taken)


def _within(crystal: Crystal, cutoff: float) -> Neighbours:
    """All neighbours within `cutoff`; the nearest shell of an atom that has none."""
    found = neighbours(crystal, cutoff)
    alone = np.bincount(found.atom, minlength=len(crystal.atomic_numbers)) == 0
    if not alone.any():
        return found
    shells, _ = _shells(crystal, 1, SHELL_WIDTH)
    return found.joined(shells.where(alone[shells.atom]))


def _both_directions(found: Neighbours, atoms: int) -> Neighbours:
    """Every bond in both directions, once each."""
    both = found.joined(Neighbours(found.neighbour, found.atom, -found.cell, -found.vector, found.length))
    _, once = np.unique(_number(both.atom, both.neighbour, both.cell, atoms), return_index=True)
    return both.where(once)


def _number(first: Ints, second: Ints, cell: Ints, atoms: int) -> Ints:
    """One number a row: it orders rows by first atom, second atom and cell, and is equal for equal rows only."""
    low = cell.min(initial=0)
    span = cell.max(initial=0) - low + 1
    number: Ints = (first * atoms + second) * span**3 + (cell - low) @ np.array([span * span, span, 1])
    return number


def _cosines(unit: Floats, pair_src: Ints, pair_dst: Ints) -> Floats:
    """(P,) −u·v of the unit vectors of each pair; a column at a time, which is twice as fast as by rows."""
    x, y, z = np.ascontiguousarray(unit.T)
    cosine: Floats = x[pair_src] * x[pair_dst]
    cosine += y[pair_src] * y[pair_dst]
    cosine += z[pair_src] * z[pair_dst]
    return np.clip(-cosine, -1.0, 1.0)


def _pairs(src: Ints, dst: Ints, atoms: int, length: Floats, angle_cutoff: float | None) -> tuple[Ints, Ints]:
    """All (bond into an atom, bond out of it), by outgoing bond; the bond straight back is among them."""
    short = np.arange(len(src)) if angle_cutoff is None else np.flatnonzero(length <= angle_cutoff)
    incoming = np.bincount(dst[short], minlength=atoms)
    first = np.cumsum(incoming) - incoming  # bonds are sorted by end atom
    size = incoming[src[short]]
    start = np.cumsum(size) - size
    place = np.arange(size.sum()) + np.repeat(first[src[short]] - start, size)
    return short[place], np.repeat(short, size)
