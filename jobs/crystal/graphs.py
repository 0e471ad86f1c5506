"""From a crystal to its graph: atoms, bonds to periodic neighbours, and pairs of successive bonds.

A bond runs from an atom i to one of its neighbours j, and messages flow along it from i to j (ALIGNN's direction, so
that a strategy which gives each atom its 12 nearest fixes how many bonds *leave* it). Bonds are numbered by their end
atom, then start atom, then length, then the neighbour's cell, as `models.batch` wants them.
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
    def cutoff(self) -> float: ...
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
    """Pairs of an atom and a neighbour within a radius, sorted by atom, length, neighbour and cell."""

    atom: Ints  # (M,)
    neighbour: Ints  # (M,)
    cell: Ints  # (M, 3) which periodic image of the neighbour, in cell vectors
    vector: Floats  # (M, 3) from atom to neighbour, Å
    length: Floats  # (M,) Å
    count: Ints  # (N,) neighbours of each atom

    @property
    def rank(self) -> Ints:
        """(M,) the place of each neighbour in its atom's list, from 0."""
        start = np.cumsum(self.count) - self.count
        return np.arange(len(self.atom)) - start[self.atom]

    def where(self, keep: NDArray[np.bool_]) -> Neighbours:
        """Those neighbours that are kept."""
        count = np.bincount(self.atom[keep], minlength=len(self.count))
        return Neighbours(
            self.atom[keep], self.neighbour[keep], self.cell[keep], self.vector[keep], self.length[keep], count
        )


def crystal_graph(crystal: Crystal, choice: GraphChoice) -> CrystalGraph:
    """The graph of `crystal` by one of four strategies.

    `shell`: the `max_neighbors` nearest and all within 0.01 Å of the last. `nearest`: exactly `max_neighbors`; of
    equally near ones those of lower atom number, then lower cell. `undirected`: shells, and each bond in both
    directions (ALIGNN of 2021). `radius`: all within `cutoff`; an atom without any gets its nearest shell. For the
    other three the cutoff does not limit an atom with too few neighbours: it widens its own radius.
    """
    if choice.strategy == "radius":
        found = _within(crystal, choice.cutoff)
    else:
        found = _shells(crystal, choice.max_neighbors, complete=choice.strategy != "nearest")
    if choice.strategy == "undirected":
        found = _both_directions(found)
    order = np.lexsort((found.rank, found.atom, found.neighbour))
    src, dst = found.atom[order], found.neighbour[order]
    vector, length = found.vector[order], found.length[order]
    pair_src, pair_dst = _pairs(src, dst, len(crystal.atomic_numbers), length, choice.angle_cutoff)
    unit = vector / length[:, None]
    cosine = np.clip(-np.einsum("pi,pi->p", unit[pair_src], unit[pair_dst]), -1.0, 1.0)
    return CrystalGraph(crystal.atomic_numbers, src, dst, vector, length, pair_src, pair_dst, cosine)


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
    atom, neighbour, cell = atom.astype(np.int64), neighbour.astype(np.int64), cell.astype(np.int64)
    by_length = np.lexsort((length, atom))
    atom, length = atom[by_length], length[by_length]
    step = np.diff(length, prepend=0.0) > EQUAL_LENGTH
    shell = np.cumsum(step | (np.diff(atom, prepend=-1) > 0))  # equal lengths of one atom share a number
    neighbour, cell, vector = neighbour[by_length], cell[by_length], vector[by_length]
    order = np.lexsort((*cell.T[::-1], neighbour, shell))
    count = np.bincount(atom, minlength=len(crystal.atomic_numbers))
    return Neighbours(atom[order], neighbour[order], cell[order], vector[order], length[order], count)


def _shells(crystal: Crystal, wanted: int, *, complete: bool) -> Neighbours:
    """The `wanted` nearest of every atom; `complete` adds the rest of the last shell."""
    atoms = len(crystal.atomic_numbers)
    radius = 1.25 * (3 * (wanted + 1) * crystal.volume / atoms / (4 * np.pi)) ** (1 / 3)
    while True:
        found = neighbours(crystal, radius)
        if found.count.min() >= wanted:
            farthest = _length_at(found, wanted - 1) + (SHELL_WIDTH if complete else EQUAL_LENGTH)
            if farthest.max() <= radius:
                break
            radius = float(farthest.max()) * (1 + 1e-9)
        else:
            radius *= 1.25
    if complete:
        return found.where(found.length <= farthest[found.atom])
    return found.where(found.rank < wanted)


def _length_at(found: Neighbours, place: int) -> Floats:
    """(N,) length of the neighbour at `place` of each atom's list."""
    start = np.cumsum(found.count) - found.count
    length: Floats = found.length[start + place]
    return length


def _within(crystal: Crystal, cutoff: float) -> Neighbours:
    """All neighbours within `cutoff`; the nearest shell of an atom that has none."""
    found = neighbours(crystal, cutoff)
    if found.count.min() > 0:
        return found
    shells = _shells(crystal, 1, complete=True)
    alone = shells.where((found.count == 0)[shells.atom])
    both = [np.concatenate(parts) for parts in zip(_fields(found), _fields(alone), strict=True)]
    order = np.argsort(both[0], kind="stable")
    atom, neighbour, cell, vector, length = (part[order] for part in both)
    return Neighbours(atom, neighbour, cell, vector, length, found.count + alone.count)


def _both_directions(found: Neighbours) -> Neighbours:
    """Every bond in both directions, once each."""
    there, back = _fields(found), (found.neighbour, found.atom, -found.cell, -found.vector, found.length)
    atom, neighbour, cell, vector, length = (np.concatenate(parts) for parts in zip(there, back, strict=True))
    _, once = np.unique(np.column_stack((atom, neighbour, cell)), axis=0, return_index=True)
    order = once[np.lexsort((length[once], atom[once]))]
    count = np.bincount(atom[order], minlength=len(found.count))
    return Neighbours(atom[order], neighbour[order], cell[order], vector[order], length[order], count)


def _fields(found: Neighbours) -> tuple[Ints, Ints, Ints, Floats, Floats]:
    return found.atom, found.neighbour, found.cell, found.vector, found.length


def _pairs(src: Ints, dst: Ints, atoms: int, length: Floats, angle_cutoff: float | None) -> tuple[Ints, Ints]:
    """All (bond into an atom, bond out of it), by outgoing bond; the bond straight back is among them."""
    short = np.arange(len(src)) if angle_cutoff is None else np.flatnonzero(length <= angle_cutoff)
    incoming = np.bincount(dst[short], minlength=atoms)
    first = np.cumsum(incoming) - incoming  # bonds are sorted by end atom
    size = incoming[src[short]]
    start = np.cumsum(size) - size
    place = np.arange(size.sum()) + np.repeat(first[src[short]] - start, size)
    return short[place], np.repeat(short, size)
