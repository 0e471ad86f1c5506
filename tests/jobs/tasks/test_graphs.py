"""Physics of crystal graphs on real crystals, and agreement with the package alignn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from alignn.torch_graph_builder import build_pure_torch_graph
from jarvis.core.atoms import Atoms
from scipy.spatial.distance import cdist

from jobs.tasks.crystal.data.crystals import Crystal, crystal
from jobs.tasks.crystal.data.sources import load
from jobs.tasks.crystal.graphs.crystal_graph import CrystalGraph, crystal_graph
from jobs.tasks.crystal.schema import GraphParams
from runner.errors import UserError

SHELL = GraphParams()
NEAREST = GraphParams(strategy="nearest")
EVERY = [SHELL, NEAREST, GraphParams(strategy="undirected"), GraphParams(strategy="radius", cutoff=5.0)]
UNCUT = [params for params in EVERY if params is not NEAREST]  # of equally far neighbours `nearest` takes a part


def names(params: GraphParams) -> str:
    return params.strategy


@pytest.fixture(scope="module")
def crystals() -> list[Crystal]:
    """Twenty of mp6k, from one atom a cell to some tens."""
    return load("mp6k", None).crystals[5::320]


def changed(it: Crystal, *, lattice=None, fractional=None, numbers=None) -> Crystal:
    return Crystal(
        it.material_id,
        it.lattice if lattice is None else lattice,
        it.fractional if fractional is None else fractional,
        it.atomic_numbers if numbers is None else numbers,
    )


def lengths_of(graph: CrystalGraph) -> np.ndarray:
    """Sorted bond lengths, by species at both ends."""
    number = graph.atomic_number
    return np.sort(graph.length + 1e3 * number[graph.src] + 1e6 * number[graph.dst])


def same(first: CrystalGraph, second: CrystalGraph, times: int = 1) -> None:
    """Equal lengths and cosines, `second` holding each of `first` `times` over."""
    np.testing.assert_allclose(np.repeat(lengths_of(first), times), lengths_of(second), atol=2e-6)
    np.testing.assert_allclose(np.repeat(np.sort(first.cosine), times), np.sort(second.cosine), atol=2e-6)


def rotation(seed: int) -> np.ndarray:
    matrix, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return matrix * np.sign(np.linalg.det(matrix))


@pytest.mark.parametrize("params", EVERY, ids=names)
def test_translation_and_rotation_leave_the_graph_as_it_is(crystals, params) -> None:
    for number, it in enumerate(crystals):
        moved = changed(
            it, lattice=it.lattice @ rotation(number), fractional=it.fractional + np.array([0.13, -0.71, 2.4])
        )
        same(crystal_graph(it, params), crystal_graph(moved, params))


@pytest.mark.parametrize("params", UNCUT, ids=names)
def test_order_of_atoms_does_not_matter(crystals, params) -> None:
    for it in crystals:
        order = np.random.default_rng(1).permutation(len(it.atomic_numbers))
        shuffled = changed(it, fractional=it.fractional[order], numbers=it.atomic_numbers[order])
        same(crystal_graph(it, params), crystal_graph(shuffled, params))


@pytest.mark.parametrize("params", UNCUT, ids=names)
def test_a_supercell_has_the_graph_of_its_cell_several_times(crystals, params) -> None:
    for it in crystals[:8]:
        cells = np.array(list(itertools.product(range(2), range(1), range(3))))
        fractional = np.concatenate([(it.fractional + cell) / [2, 1, 3] for cell in cells])
        numbers = np.tile(it.atomic_numbers, len(cells))
        bigger = changed(it, lattice=it.lattice * [[2], [1], [3]], fractional=fractional, numbers=numbers)
        same(crystal_graph(it, params), crystal_graph(bigger, params), times=6)


@pytest.mark.parametrize("params", UNCUT, ids=names)
def test_a_skewed_cell_of_the_same_lattice_has_the_same_graph(crystals, params) -> None:
    skew = np.array([[1, 3, 0], [0, 1, -2], [0, 0, 1]])
    for it in crystals[:10]:
        skewed = changed(it, lattice=skew @ it.lattice, fractional=it.fractional @ np.linalg.inv(skew))
        same(crystal_graph(it, params), crystal_graph(skewed, params))


def brute_force_lengths(it: Crystal, radius: float) -> list[np.ndarray]:
    """Sorted distances from every atom to all periodic images within `radius`, by trying every cell in reach."""
    heights = it.volume / np.linalg.norm(np.cross(it.lattice[[1, 2, 0]], it.lattice[[2, 0, 1]]), axis=1)
    spread = np.ptp(it.fractional, axis=0)
    reach = np.ceil(radius / heights + spread).astype(int)
    cells = np.array(list(itertools.product(*(range(-n, n + 1) for n in reach))))
    images = (it.fractional[None] + cells[:, None]).reshape(-1, 3) @ it.lattice
    distances = [np.linalg.norm(images - start, axis=1) for start in it.positions]
    return [np.sort(near[(near > 1e-8) & (near <= radius)]) for near in distances]


def test_shells_are_those_of_brute_force_over_periodic_images(crystals) -> None:
    for it in crystals:
        graph = crystal_graph(it, SHELL)
        for atom, near in enumerate(brute_force_lengths(it, 9.0)):
            assert len(near) > 12
            expected = near[near <= near[11] + 0.01]
            np.testing.assert_allclose(np.sort(graph.length[graph.src == atom]), expected, atol=1e-9)


def test_radius_finds_every_image_of_brute_force(crystals) -> None:
    for it in crystals:
        graph = crystal_graph(it, GraphParams(strategy="radius", cutoff=5.0))
        for atom, near in enumerate(brute_force_lengths(it, 5.0)):
            np.testing.assert_allclose(np.sort(graph.length[graph.src == atom]), near, atol=1e-9)


def test_vectors_lead_from_start_to_an_image_of_the_end(crystals) -> None:
    for it in crystals:
        graph = crystal_graph(it, SHELL)
        away = it.positions[graph.src] + graph.vector - it.positions[graph.dst]
        cells = away @ np.linalg.inv(it.lattice)
        np.testing.assert_allclose(cells, np.round(cells), atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(graph.vector, axis=1), graph.length, atol=1e-12)


@pytest.mark.parametrize("params", EVERY, ids=names)
def test_edges_are_sorted_and_pairs_complete(crystals, params) -> None:
    for it in crystals[::3]:
        graph = crystal_graph(it, params)
        assert (np.diff(graph.dst) >= 0).all()
        assert (np.diff(graph.src)[np.diff(graph.dst) == 0] >= 0).all()
        expected = [
            (first, second)
            for second in range(len(graph.src))
            for first in np.flatnonzero(graph.dst == graph.src[second])
        ]
        assert expected == list(zip(graph.pair_src, graph.pair_dst, strict=True))
        vectors = -graph.vector[graph.pair_src], graph.vector[graph.pair_dst]
        cosine = np.sum(vectors[0] * vectors[1], axis=1) / (graph.length[graph.pair_src] * graph.length[graph.pair_dst])
        np.testing.assert_allclose(graph.cosine, cosine, atol=1e-12)


def alignn_graph(it: Crystal):
    atoms = Atoms(lattice_mat=it.lattice, coords=it.fractional, elements=it.symbols, cartesian=False)
    return build_pure_torch_graph(atoms, two_body_cutoff=8.0, max_neighbors=12)


def test_nearest_has_the_lengths_and_direction_of_alignn(crystals) -> None:
    compared = 0
    for it in crystals:
        theirs, _ = alignn_graph(it)
        src, length = theirs.src.numpy(), theirs.edata["r"].norm(dim=1).numpy()
        if np.bincount(src, minlength=len(it.atomic_numbers)).min() < 12:
            continue  # alignn does not widen the radius of an atom with few neighbours
        graph = crystal_graph(it, NEAREST)
        compared += 1
        for atom in range(len(it.atomic_numbers)):
            assert np.count_nonzero(graph.src == atom) == 12
            np.testing.assert_allclose(
                np.sort(graph.length[graph.src == atom]), np.sort(length[src == atom]), atol=1e-4
            )
    assert compared >= 15


def test_nearest_is_alignns_graph_where_no_tie_is_cut(crystals) -> None:
    """Same edges and same cosines for crystals in which the 13th neighbour is farther than the 12th."""
    compared = 0
    for it in crystals:
        gaps = [near[12] - near[11] for near in brute_force_lengths(it, 9.0)]
        theirs, line = alignn_graph(it)
        if min(gaps) < 1e-3 or theirs.num_edges < 12 * len(it.atomic_numbers):
            continue
        compared += 1
        graph = crystal_graph(it, NEAREST)
        mine = np.column_stack((graph.src, graph.dst, graph.vector))
        difference = cdist(mine, np.column_stack((theirs.src, theirs.dst, theirs.edata["r"])), "chebyshev")
        assert difference.min(axis=1).max() < 1e-4
        assert len(set(difference.argmin(axis=1))) == len(mine)
        np.testing.assert_allclose(np.sort(graph.cosine), np.sort(line.edata["h"].numpy()), atol=1e-4)
        assert (graph.dst[graph.pair_src] == graph.src[graph.pair_dst]).all()
        assert (theirs.dst[line.src] == theirs.src[line.dst]).all()
    assert compared >= 3


def simple_cubic(vacuum: float = 0.0) -> Crystal:
    return crystal("Po", np.diag([3.35, 3.35, 3.35 + vacuum]), ["Po"], [[0, 0, 0]])


def test_nearest_cuts_symmetry_where_shell_does_not() -> None:
    """Simple cubic: 6 neighbours at a, 12 at √2 a; 12 nearest leave out half of the second shell."""
    shell, nearest = crystal_graph(simple_cubic(), SHELL), crystal_graph(simple_cubic(), NEAREST)
    assert len(shell.src) == 18
    assert len(nearest.src) == 12
    np.testing.assert_allclose(np.sort(shell.length), 3.35 * np.sqrt([1] * 6 + [2] * 12), atol=1e-9)


def test_complete_shells_are_closed_under_inversion(crystals) -> None:
    """Every crystal whose atoms are all alike, as in a Bravais lattice, has −r for each bond r."""
    for it in [simple_cubic(), *(it for it in crystals if len(it.atomic_numbers) == 1)]:
        vectors = crystal_graph(it, SHELL).vector
        assert cdist(vectors, -vectors).min(axis=1).max() < 1e-6


def test_an_atom_in_vacuum_widens_its_radius() -> None:
    """A square net 40 Å from its images: 12 neighbours lie in the plane, at 1, √2 and 2 a."""
    graph = crystal_graph(simple_cubic(40), SHELL)
    np.testing.assert_allclose(np.sort(graph.length), 3.35 * np.sqrt([1] * 4 + [2] * 4 + [4] * 4), atol=1e-9)
    lonely = crystal_graph(simple_cubic(40), GraphParams(strategy="radius", cutoff=2.0))
    np.testing.assert_allclose(lonely.length, 3.35, atol=1e-9)
    assert len(lonely.src) == 4


def test_undirected_has_every_bond_in_both_directions(crystals) -> None:
    for it in crystals[::2]:
        graph = crystal_graph(it, GraphParams(strategy="undirected"))
        there = np.column_stack((graph.src, graph.dst, graph.vector))
        back = np.column_stack((graph.dst, graph.src, -graph.vector))
        assert cdist(there, back).min(axis=1).max() < 1e-6
        shell = crystal_graph(it, SHELL)
        assert len(graph.src) >= len(shell.src)


def test_angle_cutoff_keeps_pairs_of_short_bonds_only(crystals) -> None:
    whole = crystal_graph(crystals[3], SHELL)
    cut = float(np.median(whole.length))
    graph = crystal_graph(crystals[3], GraphParams(angle_cutoff=cut))
    short = (whole.length[whole.pair_src] <= cut) & (whole.length[whole.pair_dst] <= cut)
    assert 0 < len(graph.cosine) == short.sum() < len(whole.cosine)
    np.testing.assert_array_equal(graph.cosine, whole.cosine[short])
    np.testing.assert_array_equal(graph.length, whole.length)


def test_two_atoms_in_one_place_are_refused() -> None:
    twice = crystal("double", np.eye(3) * 4, ["Na", "Na"], [[0, 0, 0], [0, 0, 1e-4]])
    with pytest.raises(UserError, match=r"'double': atoms . and . are 0.0004 Å apart"):
        crystal_graph(twice, SHELL)


@pytest.mark.slow
def test_undirected_holds_every_bond_of_the_2021_package(crystals, monkeypatch) -> None:
    """Theirs cuts shells where distances differ in the last bits, and lists bonds between an atom's images twice."""
    monkeypatch.setenv("DGLBACKEND", "pytorch")  # otherwise dgl writes a file into the home directory
    from alignn.graphs import build_undirected_edgedata, nearest_neighbor_edges

    equal = 0
    for it in crystals:
        atoms = Atoms(lattice_mat=it.lattice, coords=it.fractional, elements=it.symbols, cartesian=False)
        edges, _ = nearest_neighbor_edges(atoms=atoms, cutoff=8, max_neighbors=12, use_canonize=True)
        src, dst, vectors, _ = build_undirected_edgedata(atoms, edges)
        graph = crystal_graph(it, GraphParams(strategy="undirected"))
        apart = cdist(np.column_stack((src, dst, vectors)), np.column_stack((graph.src, graph.dst, graph.vector)))
        assert apart.min(axis=1).max() < 1e-4
        equal += apart.min(axis=0).max() < 1e-4
    assert equal >= 5
