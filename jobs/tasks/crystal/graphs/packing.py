"""Many graphs as flat tables of numbers: what lies on disk and on the device.

A table has a column for each atom, bond or pair of all crystals, one crystal after another; numbers in it count from
the start of their crystal. The orders that a batch needs (by start node, by value) are worked out here, once, so that
making a batch only adds offsets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.tasks.crystal.graphs.crystal_graph import CrystalGraph, Floats, Ints
from jobs.tasks.crystal.graphs.quotient import Quotient, value_classes

DISTINCT = 1e-5  # Å and cos θ; values nearer than this are embedded once, by their mean

LEVELS = ("atoms", "bonds", "pairs", "lengths", "cosines")  # columns of `sizes`
TABLES = {  # table → its level; rows below
    "atoms": "atoms",  # int32: atomic number, weight, bonds that end here, bonds that start here
    "bonds": "bonds",  # int32: src, dst, length, by_src, by_length, weight, pairs that end here, pairs that start here
    "pairs": "pairs",  # int32: src, dst, cosine, by_src, by_cosine, weight
    "lengths": "lengths",  # float32: distinct lengths, Å
    "length_counts": "lengths",  # int32: bonds that have it
    "cosines": "cosines",  # float32: distinct cos θ
    "cosine_counts": "cosines",  # int32: pairs that have it
}


@dataclass(frozen=True)
class Packed:
    """The graphs of C crystals."""

    sizes: Ints  # (C, 5) of each level
    tables: Mapping[str, NDArray[Any]]  # as in TABLES; (rows, columns) or (columns,)

    @classmethod
    def joined(cls, parts: Iterable[Packed]) -> Packed:
        """The crystals of all parts, one after another."""
        listed = list(parts)
        tables = {name: np.concatenate([part.tables[name] for part in listed], axis=-1) for name in TABLES}
        return cls(np.concatenate([part.sizes for part in listed]), tables)

    def taken(self, positions: Ints) -> Packed:
        """The crystals at `positions`, in that order."""
        starts = np.cumsum(self.sizes, axis=0) - self.sizes
        sizes = self.sizes[positions]
        columns = {level: ranges(starts[positions, column], sizes[:, column]) for column, level in enumerate(LEVELS)}
        return Packed(sizes, {name: self.tables[name][..., columns[level]] for name, level in TABLES.items()})


def ranges(starts: Ints, sizes: Ints) -> Ints:
    """The numbers starts[0] … starts[0] + sizes[0] − 1, then those of starts[1], and so on."""
    shift = starts - (np.cumsum(sizes) - sizes)
    return np.arange(sizes.sum()) + np.repeat(shift, sizes)  # type: ignore[no-any-return]


def pack(graph: CrystalGraph | Quotient) -> Packed:
    """One crystal's graph, whole or quotient, as tables."""
    weights = (graph.atom_weight, graph.bond_weight, graph.pair_weight) if isinstance(graph, Quotient) else (None,) * 3
    atoms, bonds, pairs = len(graph.atomic_number), len(graph.src), len(graph.pair_src)
    length, length_index, length_counts = _distinct(graph.length)
    cosine, cosine_index, cosine_counts = _distinct(graph.cosine)
    tables: dict[str, NDArray[Any]] = {
        "atoms": _rows(graph.atomic_number, _weight(weights[0], atoms), *_degrees(graph.src, graph.dst, atoms)),
        "bonds": _rows(
            *_edges(graph.src, graph.dst, length_index),
            _weight(weights[1], bonds),
            *_degrees(graph.pair_src, graph.pair_dst, bonds),
        ),
        "pairs": _rows(*_edges(graph.pair_src, graph.pair_dst, cosine_index), _weight(weights[2], pairs)),
        "lengths": length.astype(np.float32),
        "length_counts": length_counts.astype(np.int32),
        "cosines": cosine.astype(np.float32),
        "cosine_counts": cosine_counts.astype(np.int32),
    }
    return Packed(np.array([[atoms, bonds, pairs, len(length), len(cosine)]], dtype=np.int64), tables)


def _distinct(values: Floats) -> tuple[Floats, Ints, Ints]:
    """The mean of each class of equal values, the class of each value, the size of each class."""
    index = value_classes(values, DISTINCT)
    counts = np.bincount(index)
    return np.bincount(index, weights=values) / counts, index, counts


def _edges(src: Ints, dst: Ints, value: Ints) -> tuple[Ints, ...]:
    """Start, end, scalar, and the orders by start and by scalar."""
    return src, dst, value, np.argsort(src, kind="stable"), np.argsort(value, kind="stable")


def _degrees(src: Ints, dst: Ints, nodes: int) -> tuple[Ints, Ints]:
    """How many edges end at each node, and how many start there."""
    return np.bincount(dst, minlength=nodes), np.bincount(src, minlength=nodes)


def _weight(weight: Ints | None, count: int) -> Ints:
    return np.ones(count, dtype=np.int64) if weight is None else weight


def _rows(*rows: Ints) -> NDArray[np.int32]:
    return np.stack(rows).astype(np.int32)
