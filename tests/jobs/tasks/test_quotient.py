"""Quotients against refinement by sorting, and against message passing on the whole graph."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.tasks.crystal.data.crystals import crystal
from jobs.tasks.crystal.data.sources import load
from jobs.tasks.crystal.graphs.crystal_graph import CrystalGraph, crystal_graph
from jobs.tasks.crystal.graphs.quotient import Quotient, quotient, refine, value_classes
from jobs.tasks.crystal.schema import GraphParams


@pytest.fixture(scope="module")
def graphs() -> list[CrystalGraph]:
    """Whole graphs of 30 crystals of mp6k, complete shells and 12 nearest in turn."""
    both = GraphParams(), GraphParams(strategy="nearest")
    return [crystal_graph(it, both[number % 2]) for number, it in enumerate(load("mp6k", None).crystals[3::210])]


def by_sorting(rows: np.ndarray) -> np.ndarray:
    """Classes of equal rows."""
    return np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)


def multisets(classes: np.ndarray, ends: np.ndarray, count: int) -> np.ndarray:
    """(count, most) sorted classes of what ends at each thing, filled up with −1."""
    lists = [np.sort(classes[ends == end]) for end in range(count)]
    longest = max((len(one) for one in lists), default=0)
    return np.array([np.pad(one, (0, longest - len(one)), constant_values=-1) for one in lists]).reshape(count, longest)


def exactly_refined(graph: CrystalGraph) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colour refinement with sorted multisets in the place of hashes."""
    atom, bond = by_sorting(graph.atomic_number[:, None]), value_classes(graph.length)
    angle, before = value_classes(graph.cosine), 0
    while True:
        bond = by_sorting(np.column_stack((bond, atom[graph.src], atom[graph.dst])))
        pair = by_sorting(np.column_stack((angle, bond[graph.pair_src], bond[graph.pair_dst])))
        atom = by_sorting(np.column_stack((atom, multisets(bond, graph.dst, len(atom)))))
        bond = by_sorting(np.column_stack((bond, multisets(pair, graph.pair_dst, len(bond)))))
        classes = atom.max() + bond.max() + pair.max()
        if classes == before:
            return atom, bond, pair
        before = classes


def same_partition(first: np.ndarray, second: np.ndarray) -> bool:
    together = len(np.unique(np.column_stack((first, second)), axis=0))
    return together == len(np.unique(first)) == len(np.unique(second))


@pytest.mark.torch
def test_hashing_finds_the_classes_that_sorting_finds(graphs) -> None:
    for graph in graphs:
        found = refine(graph)
        for ours, exact in zip((found.atom, found.bond, found.pair), exactly_refined(graph), strict=True):
            assert same_partition(ours, exact)


def passed(graph: CrystalGraph | Quotient, rounds: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Some message passing over lengths, angles and species; atom features and their mean over the cell."""
    whole = isinstance(graph, CrystalGraph)
    atom_weight = np.ones(len(graph.atomic_number)) if whole else graph.atom_weight
    bond_weight = np.ones(len(graph.src)) if whole else graph.bond_weight
    pair_weight = np.ones(len(graph.pair_src)) if whole else graph.pair_weight
    atom = np.sin(graph.atomic_number.astype(float))
    bond = np.cos(graph.length)
    for _ in range(rounds):
        message = np.tanh(bond + 0.7 * atom[graph.src] - 0.3 * atom[graph.dst])
        pair = np.tanh(graph.cosine * message[graph.pair_src] + 0.5 * message[graph.pair_dst])
        atom = np.tanh(atom + 0.2 * np.bincount(graph.dst, bond_weight * message, minlength=len(atom)))
        bond = message + 0.1 * np.bincount(graph.pair_dst, pair_weight * pair, minlength=len(bond))
    return atom, np.average(atom, weights=atom_weight)


@pytest.mark.torch
def test_the_quotient_gives_the_features_of_the_whole_graph(graphs) -> None:
    for graph in graphs:
        merged = quotient(graph)
        atoms, mean = passed(graph)
        merged_atoms, merged_mean = passed(merged)
        assert abs(mean - merged_mean) < 1e-8
        assert np.abs(atoms[:, None] - merged_atoms[None]).min(axis=1).max() < 1e-6


@pytest.mark.torch
def test_weights_count_everything_once(graphs) -> None:
    for graph in graphs:
        merged = quotient(graph)
        assert merged.atom_weight.sum() == len(graph.atomic_number)
        bonds = merged.bond_weight * merged.atom_weight[merged.dst]
        assert bonds.sum() == len(graph.src)
        assert (merged.pair_weight * bonds[merged.pair_dst]).sum() == len(graph.pair_src)
        assert (np.diff(merged.dst) >= 0).all()
        assert (np.diff(merged.pair_dst) >= 0).all()
        assert (merged.dst[merged.pair_src] == merged.src[merged.pair_dst]).all()


@pytest.mark.torch
def test_rock_salt_has_two_atoms_and_four_bonds() -> None:
    """Na–Cl at a/2 and Na–Na, Cl–Cl at a/√2, in both directions: 6 + 12 neighbours each."""
    corners = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    coordinates = corners + [[0.5 - x, 0.5 - y, 0.5 - z] for x, y, z in corners]
    salt = crystal("NaCl", np.eye(3) * 5.64, ["Na"] * 4 + ["Cl"] * 4, coordinates)
    merged = quotient(crystal_graph(salt, GraphParams()))
    assert merged.atom_weight.tolist() == [4, 4]
    assert sorted(merged.bond_weight.tolist()) == [6, 6, 12, 12]
    np.testing.assert_allclose(np.sort(merged.length), [2.82, 2.82, 3.988, 3.988], atol=1e-3)


@pytest.mark.torch
def test_a_supercell_has_the_quotient_of_its_cell() -> None:
    it = load("mp6k", None).crystals[11]
    doubled = crystal(
        "doubled",
        it.lattice * [[1], [1], [2]],
        it.symbols * 2,
        np.concatenate([it.fractional / [1, 1, 2], (it.fractional + np.array([0, 0, 1])) / [1, 1, 2]]),
    )
    small, big = (quotient(crystal_graph(one, GraphParams())) for one in (it, doubled))
    assert (small.atom_weight * 2).tolist() == big.atom_weight.tolist()
    assert len(small.src) == len(big.src)
    assert len(small.cosine) == len(big.cosine)


@pytest.mark.torch
def test_complete_shells_leave_a_fifth_of_the_pairs() -> None:
    """Measured over all of mp6k: 0.19."""
    whole = [crystal_graph(it, GraphParams()) for it in load("mp6k", None).crystals[::50]]
    remain = sum(len(quotient(graph).cosine) for graph in whole) / sum(len(graph.cosine) for graph in whole)
    assert 0.15 < remain < 0.23


def test_value_classes_are_never_wider_than_asked() -> None:
    """Many near values would chain into one class if only gaps were looked at."""
    values = np.concatenate([np.linspace(0.5, 0.51, 1000), [0.2, 0.2 + 5e-5, 0.2 + 9e-5], [-1.0]])
    classes = value_classes(np.random.default_rng(0).permutation(values), 1e-4)
    values = np.random.default_rng(0).permutation(values)
    spans = [np.ptp(values[classes == number]) for number in np.unique(classes)]
    assert max(spans) <= 1e-4 * (1 + 1e-6)
    assert (np.unique(classes) == np.arange(len(spans))).all()
    assert len({int(classes[np.argmin(np.abs(values - near))]) for near in (0.2, 0.2 + 5e-5, 0.2 + 9e-5)}) == 1
    assert (
        np.argsort([values[classes == number].mean() for number in range(len(spans))]) == np.arange(len(spans))
    ).all()
    assert value_classes(np.zeros(0)).tolist() == []
