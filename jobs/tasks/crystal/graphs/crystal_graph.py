"""From a crystal to its graph: atoms, bonds to periodic neighbours, and pairs of successive bonds.

A bond runs from an atom i to one of its neighbours j, and messages flow along it from i to j (ALIGNN's direction, so
that a strategy which gives each atom its 12 nearest fixes how many bonds *leave* it). Bonds are numbered by their end
atom, then start atom, then the neighbour's cell, as `models.batch` wants them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.tasks.crystal.data.crystals import Crystal
from jobs.tasks.crystal.schema import GraphParams
from runner.errors import UserError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SHELL_WIDTH = 0.01  # Å, by default; neighbours this little farther than the last one belong to its shell
SMALLEST_LENGTH = 0.01  # Å; nearer atoms are two records of one, and have no direction between them
EQUAL_LENGTH = 1e-4  # Å; lengths closer than this are the same, and order is decided by index and cell


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


class Neighbours(NamedTuple):
    """M pairs of an atom and a periodic neighbour, in no order."""

    atom: Ints  # (M,)
    neighbour: Ints  # (M,)
    cell: Ints  # (M, 3) which periodic image of the neighbour, in cell vectors
    vector: Floats  # (M, 3) from atom to neighbour, Å
    length: Floats  # (M,) Å

    def at(self, places: Ints) -> Neighbours:
        """Those at `places`; `take` is faster than brackets, and most so for rows."""
        return Neighbours(
            self.atom.take(places),
            self.neighbour.take(places),
            self.cell.take(places, axis=0),
            self.vector.take(places, axis=0),
            self.length.take(places),
        )

    def joined(self, other: Neighbours) -> Neighbours:
        """These, then the others."""
        return Neighbours(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))


def crystal_graph(crystal: Crystal, choice: GraphParams) -> CrystalGraph:
    """The graph of `crystal` by one of four strategies.

    `shell`: the `max_neighbors` nearest and all within `shell_width` Å of the last. `nearest`: exactly `max_neighbors`;
    of equally far ones those of lower atom number, then lower cell. `undirected`: shells, and each bond in both
    directions (ALIGNN of 2021). `radius`: all within `cutoff`; an atom without any gets its nearest shell. For the
    other three the cutoff does not limit an atom with too few neighbours: it widens its own radius. Raises UserError
    for two atoms in one place.
    """
    atoms = len(crystal.atomic_numbers)
    if choice.strategy == "radius":
        assert choice.cutoff is not None
        near, keep = _within(crystal, choice.cutoff)
    elif choice.strategy == "nearest":
        near, keep = _nearest(crystal, choice.max_neighbors)
    else:
        near, keep, _ = _shells(crystal, choice.max_neighbors, choice.shell_width)
    if choice.strategy == "undirected":
        near, keep = _both_directions(near.at(keep), atoms)
    number = _number(near.neighbour.take(keep), near.atom.take(keep), near.cell.take(keep, axis=0), atoms)
    near = near.at(keep.take(number.argsort()))
    pair_src, pair_dst = _pairs(near.atom, near.neighbour, atoms, near.length, choice.angle_cutoff)
    cosine = _cosines(near.vector / near.length[:, None], pair_src, pair_dst)
    return CrystalGraph(
        atomic_number=crystal.atomic_numbers,
        src=near.atom,
        dst=near.neighbour,
        vector=near.vector,
        length=near.length,
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


def _shells(crystal: Crystal, wanted: int, width: float) -> tuple[Neighbours, Ints, Floats]:
    """The `wanted` nearest neighbours of every atom, and all within `width` Å of the last.

    They are those of the neighbours found that the numbers say; (N,) length of the last one, Å.
    """
    atoms = len(crystal.atomic_numbers)
    radius = 1.2 * (3 * (wanted + 1) * crystal.volume / atoms / (4 * np.pi)) ** (1 / 3)  # a little above the mean
    while True:
        near = neighbours(crystal, radius)
        count = np.bincount(near.atom, minlength=atoms)
        if count.min() < wanted:
            radius *= 1.25
            continue
        by_atom = (near.atom * (2 * radius) + near.length).argsort()
        last = near.length.take(by_atom.take(count.cumsum() - count + (wanted - 1)))  # (N,) Å
        if last.max() + width <= radius:
            return near, (near.length <= (last + width).take(near.atom)).nonzero()[0], last
        radius = (float(last.max()) + width) * (1 + 1e-9)


def _nearest(crystal: Crystal, wanted: int) -> tuple[Neighbours, Ints]:
    """Exactly `wanted` neighbours of every atom: the numbers of those of the neighbours found.

    Lengths within 1e-4 Å of the last one are equal, so that rounding does not decide; of those the lower atom number,
    then the lower cell, are taken.
    """
    atoms = len(crystal.atomic_numbers)
    near, shells, last = _shells(crystal, wanted, EQUAL_LENGTH)
    atom = near.atom.take(shells)
    equal = near.length.take(shells) >= (last - EQUAL_LENGTH).take(atom)
    taken, equals = shells[~equal], shells[equal]
    neighbour, cell = near.neighbour.take(equals), near.cell.take(equals, axis=0)
    equals = equals.take(_number(atom[equal], neighbour, cell, atoms).argsort())
    owner = near.atom.take(equals)
    count = np.bincount(owner, minlength=atoms)
    rank = np.arange(len(equals)) - (count.cumsum() - count).take(owner)
    room = wanted - np.bincount(atom[~equal], minlength=atoms)
    return near, np.concatenate((taken, equals[rank < room.take(owner)]))


def _within(crystal: Crystal, cutoff: float) -> tuple[Neighbours, Ints]:
    """All neighbours within `cutoff`; the nearest shell of an atom that has none."""
    near = neighbours(crystal, cutoff)
    alone = np.bincount(near.atom, minlength=len(crystal.atomic_numbers)) == 0
    if alone.any():
        more, shells, _ = _shells(crystal, 1, SHELL_WIDTH)
        near = near.joined(more.at(shells[alone[more.atom[shells]]]))
    return near, np.arange(len(near.atom))


def _both_directions(bonds: Neighbours, atoms: int) -> tuple[Neighbours, Ints]:
    """Every bond in both directions, and the numbers that name each once."""
    both = bonds.joined(Neighbours(bonds.neighbour, bonds.atom, -bonds.cell, -bonds.vector, bonds.length))
    _, once = np.unique(_number(both.atom, both.neighbour, both.cell, atoms), return_index=True)
    return both, once


def _number(first: Ints, second: Ints, cell: Ints, atoms: int) -> Ints:
    """One number a row: it orders rows by first atom, second atom and cell, and is equal for equal rows only."""
    low = cell.min(initial=0)
    span = cell.max(initial=0) - low + 1
    return (first * atoms + second) * span**3 + (cell - low) @ np.array([span * span, span, 1])  # type: ignore[no-any-return]


def _cosines(unit: Floats, pair_src: Ints, pair_dst: Ints) -> Floats:
    """(P,) −u·v of the unit vectors of each pair; a column at a time, which is twice as fast as by rows."""
    x, y, z = np.ascontiguousarray(unit.T)
    cosine: Floats = x.take(pair_src) * x.take(pair_dst)
    cosine += y.take(pair_src) * y.take(pair_dst)
    cosine += z.take(pair_src) * z.take(pair_dst)
    return np.minimum(np.maximum(-cosine, -1.0), 1.0)


def _pairs(src: Ints, dst: Ints, atoms: int, length: Floats, angle_cutoff: float | None) -> tuple[Ints, Ints]:
    """All (bond into an atom, bond out of it), by outgoing bond; the bond straight back is among them."""
    short = np.arange(len(src)) if angle_cutoff is None else np.flatnonzero(length <= angle_cutoff)
    short_src = src.take(short)
    incoming = np.bincount(dst.take(short), minlength=atoms)
    first = incoming.cumsum() - incoming  # bonds are sorted by end atom
    size = incoming.take(short_src)
    start = size.cumsum() - size
    place = np.arange(size.sum()) + (first.take(short_src) - start).repeat(size)
    return place if angle_cutoff is None else short.take(place), short.repeat(size)
