"""Crystal graphs by brute force over periodic images: slow, plain, and the reference for the fast builder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from jarvis.core.specie import Specie
from numpy.typing import NDArray

from models.batch import Distinct, Edges, GraphBatch

RECORDS = json.loads((Path(__file__).parent / "data" / "crystals.json").read_text())  # 20 crystals of 1 to 10 atoms
SHELL = 0.01  # Å; neighbours this much farther than the last one counted belong to its shell


@dataclass(frozen=True)
class Structure:
    """Atoms in a periodic cell."""

    lattice: NDArray[np.float64]  # (3, 3) rows are the cell vectors, Å
    positions: NDArray[np.float64]  # (N, 3) Å
    numbers: NDArray[np.int64]  # (N,)


@dataclass(frozen=True)
class Graph:
    """A crystal graph, with the number of equal ones that each atom, bond and pair stands for."""

    numbers: NDArray[np.int64]  # (N,)
    bonds: NDArray[np.int64]  # (E, 2) start, end; sorted by end
    lengths: NDArray[np.float64]  # (E,) Å
    pairs: NDArray[np.int64]  # (P, 2) bond, bond; sorted by the second
    cosines: NDArray[np.float64]  # (P,)
    atom_weight: NDArray[np.float64] | None = None
    bond_weight: NDArray[np.float64] | None = None
    pair_weight: NDArray[np.float64] | None = None


def structure(record: dict) -> Structure:
    """The structure of a record in the layout of jarvis-tools."""
    atoms = record["atoms"]
    lattice, coords = np.array(atoms["lattice_mat"], float), np.array(atoms["coords"], float)
    numbers = np.array([Specie(element).Z for element in atoms["elements"]])
    return Structure(lattice, coords if atoms["cartesian"] else coords @ lattice, numbers)


def supercell(cell: Structure, repeats: tuple[int, int, int]) -> Structure:
    shifts = np.array(list(product(*map(range, repeats)))) @ cell.lattice
    positions = (cell.positions[None] + shifts[:, None]).reshape(-1, 3)
    return Structure(cell.lattice * np.array(repeats)[:, None], positions, np.tile(cell.numbers, len(shifts)))


def graph(cell: Structure, strategy: str = "shell", cutoff: float = 8.0, max_neighbors: int = 12) -> Graph:
    """Bonds i→j from every atom i to its neighbours j, and pairs of bonds (i→j, j→k), backtracking included."""
    start, end, vectors = (
        np.concatenate(part) for part in zip(*_bonds(cell, strategy, cutoff, max_neighbors), strict=True)
    )
    lengths = np.linalg.norm(vectors, axis=1)
    order = np.lexsort((*np.round(vectors, 6).T, np.round(lengths, 6), start, end))
    start, end, vectors, lengths = start[order], end[order], vectors[order], lengths[order]
    pairs = np.array([(a, b) for b in range(len(start)) for a in np.flatnonzero(end == start[b])], int).reshape(-1, 2)
    first, second = vectors[pairs[:, 0]], vectors[pairs[:, 1]]
    cosines = -(first * second).sum(1) / (lengths[pairs[:, 0]] * lengths[pairs[:, 1]])
    return Graph(cell.numbers, np.stack([start, end], 1), lengths, pairs, cosines.clip(-1, 1))


def _bonds(cell: Structure, strategy: str, cutoff: float, max_neighbors: int):
    """For each atom the bonds that start at it: (start, end, vector)."""
    for atom, origin in enumerate(cell.positions):
        radius = cutoff
        while True:
            vectors, ends = _images(cell, origin, radius)
            if strategy == "radius" or len(ends) >= max_neighbors:
                break
            radius *= 1.25
        distance = np.linalg.norm(vectors, axis=1)
        if strategy == "shell":
            keep = distance <= np.sort(distance)[max_neighbors - 1] + SHELL
        elif strategy == "nearest":
            keep = np.lexsort((*np.round(vectors, 6).T, ends, np.round(distance, 6)))[:max_neighbors]
        else:
            keep = slice(None)
        yield np.full(len(ends[keep]), atom), ends[keep], vectors[keep]


def _images(cell: Structure, origin: NDArray[np.float64], radius: float):
    """Vectors from `origin` to every atom image within `radius`, itself left out, and the atoms they lead to."""
    reach = np.ceil(radius * np.linalg.norm(np.linalg.inv(cell.lattice), axis=0) + 1).astype(int)
    shifts = np.array(list(product(*(range(-n, n + 1) for n in reach)))) @ cell.lattice
    vectors = (cell.positions[None] + shifts[:, None] - origin).reshape(-1, 3)
    distance = np.linalg.norm(vectors, axis=1)
    near = (distance <= radius) & (distance > 1e-8)
    return vectors[near], np.tile(np.arange(len(cell.positions)), len(shifts))[near]


def quotient(whole: Graph, digits: int = 4) -> Graph:
    """One atom, bond and pair of each class that the network cannot tell apart, by refining colours to the end."""
    length, cosine = np.round(whole.lengths, digits), np.round(whole.cosines, digits)
    atoms, bonds = _classes(list(whole.numbers)), _classes(list(length))
    while True:
        ends = [(atoms[i], atoms[j], bond) for (i, j), bond in zip(whole.bonds, bonds, strict=True)]
        pairs = _classes([(ends[a], ends[b], c) for (a, b), c in zip(whole.pairs, cosine, strict=True)])
        new_bonds = _classes([(ends[b], _bag(pairs[whole.pairs[:, 1] == b])) for b in range(len(bonds))])
        message = _classes(ends)
        new_atoms = _classes([(atoms[i], _bag(message[whole.bonds[:, 1] == i])) for i in range(len(atoms))])
        if new_bonds.max(initial=0) == bonds.max(initial=0) and new_atoms.max() == atoms.max():
            return _merge(whole, atoms, bonds, pairs)
        atoms, bonds = new_atoms, new_bonds


def _bag(classes: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(sorted(classes.tolist()))


def _classes(keys: list) -> NDArray[np.int64]:
    """The number of each key among the distinct keys."""
    numbers = {key: number for number, key in enumerate(sorted(set(keys)))}
    return np.array([numbers[key] for key in keys], int)


def _merge(whole: Graph, atoms, bonds, pairs) -> Graph:
    bond_ends = np.array([(atoms[i], atoms[j]) for i, j in whole.bonds], int).reshape(-1, 2)
    pair_ends = np.array([(bonds[a], bonds[b]) for a, b in whole.pairs], int).reshape(-1, 2)
    atom_count, bond_count, pair_count = np.bincount(atoms), np.bincount(bonds), np.bincount(pairs)
    atom, bond, pair = (np.unique(classes, return_index=True)[1] for classes in (atoms, bonds, pairs))
    by_end = np.lexsort((bond_ends[bond, 0], bond_ends[bond, 1]))
    place = np.argsort(by_end)
    merged = place[pair_ends[pair]].reshape(-1, 2)
    by_second = np.lexsort((merged[:, 0], merged[:, 1]))
    return Graph(
        whole.numbers[atom],
        bond_ends[bond][by_end],
        whole.lengths[bond][by_end],
        merged[by_second],
        whole.cosines[pair][by_second],
        atom_count.astype(float),
        (bond_count / atom_count[bond_ends[bond, 1]])[by_end],
        (pair_count / bond_count[pair_ends[pair, 1]])[by_second],
    )


def batch(graphs: Sequence[Graph], dtype: torch.dtype = torch.float32) -> GraphBatch:
    """The graphs side by side."""
    atoms = np.cumsum([0, *(len(g.numbers) for g in graphs)])
    bonds = np.cumsum([0, *(len(g.bonds) for g in graphs)])
    weighted = graphs[0].atom_weight is not None
    bond_ends = np.concatenate([g.bonds + offset for g, offset in zip(graphs, atoms, strict=False)])
    pair_ends = np.concatenate([g.pairs + offset for g, offset in zip(graphs, bonds, strict=False)])

    def joined(name: str) -> torch.Tensor | None:
        return torch.tensor(np.concatenate([getattr(g, name) for g in graphs]), dtype=dtype) if weighted else None

    def owner(name: str) -> NDArray[np.int64]:
        return np.repeat(np.arange(len(graphs)), [len(getattr(g, name)) for g in graphs])

    return GraphBatch(
        torch.tensor(np.concatenate([g.numbers for g in graphs])),
        joined("atom_weight"),
        torch.tensor(owner("numbers")),
        torch.tensor(atoms),
        _edges(bond_ends, int(atoms[-1]), joined("bond_weight")),
        _edges(pair_ends, int(bonds[-1]), joined("pair_weight")),
        _distinct(np.concatenate([g.lengths for g in graphs]), owner("lengths"), dtype),
        _distinct(np.concatenate([g.cosines for g in graphs]), owner("cosines"), dtype),
    )


def _edges(ends: NDArray[np.int64], nodes: int, weight: torch.Tensor | None) -> Edges:
    start, end = torch.tensor(ends[:, 0]), torch.tensor(ends[:, 1])
    by_src = torch.argsort(start, stable=True)
    return Edges(start, end, _offsets(end, nodes), by_src, _offsets(start[by_src], nodes), weight)


def _distinct(values: NDArray[np.float64], owner: NDArray[np.int64], dtype: torch.dtype) -> Distinct:
    unique, index = np.unique(np.stack([owner, values]), axis=1, return_inverse=True)
    indices = torch.tensor(index.reshape(-1))
    by_value = torch.argsort(indices, stable=True)
    return Distinct(
        torch.tensor(unique[1], dtype=dtype), indices, by_value, _offsets(indices[by_value], unique.shape[1])
    )


def _offsets(ascending: torch.Tensor, groups: int) -> torch.Tensor:
    return torch.searchsorted(ascending, torch.arange(groups + 1))


def permuted(cell: Structure, order: NDArray[np.int64]) -> Structure:
    return replace(cell, positions=cell.positions[order], numbers=cell.numbers[order])
