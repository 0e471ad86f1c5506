"""The quotient of a crystal graph: one atom, bond and bond pair of each class of equal ones, with weights.

Two atoms (bonds, pairs) are equal when no message passing over lengths, angles and species can tell them apart.
Colour refinement finds these classes: each round, an atom's colour takes in the multiset of colours of the bonds that
end at it, a bond's colour the multiset of the pairs that end at it, until no class splits. Colours are 64-bit hashes;
the sum of the hashes of a multiset is the hash of the multiset. As every atom of a class has the same number of bonds
of a class, the quotient with these numbers as weights gives exactly the features of the whole graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.tasks.crystal.graphs.crystal_graph import CrystalGraph, Floats, Ints

Hashes = NDArray[np.uint64]

SAME = 1e-4  # Å and cos θ; values of one class differ by less
MAX_ROUNDS = 64  # a colour travels one bond a round; crystals of a few hundred atoms need fewer than 10
_MULTIPLIER = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)
_SALTS = tuple(np.uint64(salt) for salt in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9))


@dataclass(frozen=True)
class Classes:
    """The class of each atom, bond and pair, numbered from 0 in the order of their first members."""

    atom: Ints  # (N,)
    bond: Ints  # (E,)
    pair: Ints  # (P,)
    first_atom: Ints  # (n,) first member of each class
    first_bond: Ints  # (e,)
    first_pair: Ints  # (p,)


@dataclass(frozen=True)
class Quotient:
    """n atom, e bond and p pair classes, in the order of `CrystalGraph`."""

    atomic_number: Ints  # (n,)
    atom_weight: Ints  # (n,) atoms in the class
    src: Ints  # (e,) class of the start atom
    dst: Ints  # (e,) class of the end atom, ascending
    bond_weight: Ints  # (e,) bonds of the class that end at one atom of the end class
    length: Floats  # (e,) mean of the class, Å
    pair_src: Ints  # (p,) bond class i→j
    pair_dst: Ints  # (p,) bond class j→k, ascending
    pair_weight: Ints  # (p,) pairs of the class that end at one bond of the end class
    cosine: Floats  # (p,) mean of the class


def quotient(graph: CrystalGraph) -> Quotient:
    """Merge what `refine` finds equal. Raises ArithmeticError if the classes are not equitable (a hash collision)."""
    classes = refine(graph)
    first, first_pair = classes.first_bond, classes.first_pair
    atoms, bonds, pairs = (np.bincount(of) for of in (classes.atom, classes.bond, classes.pair))  # class sizes
    src, dst = classes.atom[graph.src[first]], classes.atom[graph.dst[first]]
    pair_src, pair_dst = classes.bond[graph.pair_src[first_pair]], classes.bond[graph.pair_dst[first_pair]]
    order = np.lexsort((src, dst))
    renumbered = np.empty_like(order)
    renumbered[order] = np.arange(len(order))
    pair_src, pair_dst = renumbered[pair_src], renumbered[pair_dst]
    pair_order = np.lexsort((pair_src, pair_dst))
    return Quotient(
        atomic_number=graph.atomic_number[classes.first_atom],
        atom_weight=atoms,
        src=src[order],
        dst=dst[order],
        bond_weight=_share(bonds, atoms[dst])[order],
        length=(np.bincount(classes.bond, weights=graph.length) / bonds)[order],
        pair_src=pair_src[pair_order],
        pair_dst=pair_dst[pair_order],
        pair_weight=_share(pairs, bonds[order][pair_dst])[pair_order],
        cosine=(np.bincount(classes.pair, weights=graph.cosine, minlength=len(pairs)) / pairs)[pair_order],
    )


def refine(graph: CrystalGraph) -> Classes:
    """The coarsest classes of atoms, bonds and pairs that message passing cannot split."""
    bond_ends = _offsets(graph.dst, len(graph.atomic_number))
    pair_ends = _offsets(graph.pair_dst, len(graph.src))
    with np.errstate(over="ignore"):  # hashes wrap around
        atom = _mix(graph.atomic_number.astype(np.uint64) + _SALTS[0])
        bond = _mix(value_classes(graph.length).astype(np.uint64) + _SALTS[1])
        angle = _mix(value_classes(graph.cosine).astype(np.uint64) + _SALTS[2])
        known = 0
        for _ in range(MAX_ROUNDS):
            bond = _mix(bond * _SALTS[0] + _mix(atom * _SALTS[1])[graph.src] + atom[graph.dst])
            pair = _mix(angle + _mix(bond * _SALTS[1])[graph.pair_src] + bond[graph.pair_dst])
            atom = _mix(atom * _SALTS[2] + _sums(_mix(bond), bond_ends))
            bond = _mix(bond * _SALTS[2] + _sums(pair, pair_ends))
            classes = _distinct(bond) + _distinct(atom)
            if classes == known:  # pairs are made of angle and bonds: they split no further either
                break
            known = classes
        pair = _mix(angle + _mix(bond * _SALTS[1])[graph.pair_src] + bond[graph.pair_dst])
    (atoms, first_atom), (bonds, first_bond), (pairs, first_pair) = map(_numbered, (atom, bond, pair))
    return Classes(atoms, bonds, pairs, first_atom, first_bond, first_pair)


def value_classes(values: Floats, same: float = SAME) -> Ints:
    """Number values, from the lowest, so that those of one class lie within `same` of each other.

    Values part where neighbours differ by more than `same`; a run of near values that is longer than that, as in a big
    crystal without symmetry, is cut into pieces of `same`.
    """
    classes = np.zeros(len(values), dtype=np.int64)
    if len(values):
        order = np.argsort(values)
        ordered = values[order]
        fresh = _steps(ordered, same)
        start = ordered[fresh][np.cumsum(fresh) - 1]  # of the run that each value lies in
        piece = ((ordered - start) / (same * (1 + 1e-9))).astype(np.int64)
        fresh |= _steps(piece, 0) & (piece > 0)
        classes[order] = np.cumsum(fresh) - 1
    return classes


def _steps(ordered: NDArray[Any], same: float) -> NDArray[np.bool_]:
    """Where a value is more than `same` above the one before it; the first value is such a step."""
    step = np.ones(len(ordered), dtype=bool)
    step[1:] = ordered[1:] - ordered[:-1] > same
    return step


def _share(members: Ints, among: Ints) -> Ints:
    """Members of a class for each of the things they end at; a whole number if the classes are equitable."""
    share, rest = np.divmod(members, among)
    if rest.any():
        raise ArithmeticError("colour refinement gave classes that are not equitable: two hashes collided")
    return share


def _offsets(ends: Ints, count: int) -> Ints:
    return np.searchsorted(ends, np.arange(count + 1))


def _sums(values: Hashes, offsets: Ints) -> Hashes:
    """Sums of consecutive segments, modulo 2^64."""
    running = np.zeros(len(values) + 1, dtype=np.uint64)
    np.cumsum(values, out=running[1:])
    return running[offsets[1:]] - running[offsets[:-1]]


def _mix(value: Hashes) -> Hashes:
    """Spread every input bit over the output (two rounds of xorshift and multiply)."""
    value = (value ^ (value >> _HALF)) * _MULTIPLIER
    value = (value ^ (value >> _HALF)) * _MULTIPLIER
    return value ^ (value >> _HALF)


def _distinct(colours: Hashes) -> int:
    """How many colours there are; a sort is faster here than a set."""
    ordered = np.sort(colours)
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + 1


def _numbered(colours: Hashes) -> tuple[Ints, Ints]:
    """Number colours by first members, so that numbers do not depend on hashes; the number of each, first members."""
    _, first, inverse = np.unique(colours, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return place[inverse], first[order]
