"""ALIGNN: size, physics, multiplicities, the 2021 form."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crystals import RECORDS, Structure, batch, graph, permuted, structure, supercell
from model_cases import SMALL, merged, whole
from models.batch import GraphBatch
from models.encoders.alignn import Alignn, Counts
from models.encoders.basis import GaussianBasis
from models.encoders.elements import AtomFeatures, check_elements
from models.encoders.norm import BatchNorm
from models.encoders.segment import weighted_mean
from models.options import AlignnOptions

torch.set_num_threads(1)
TIO2 = next(structure(record) for record in RECORDS if record["id"] == "JVASP-5")
LONE_ATOM = Structure(np.eye(3) * 20.0, np.zeros((1, 3)), np.array([18]))


def encoder(seed: int = 0, **changes: object) -> Alignn:
    torch.manual_seed(seed)
    return Alignn(SMALL.model_copy(update=changes)).double().eval()


def pooled(model: Alignn, graphs: GraphBatch) -> torch.Tensor:
    return weighted_mean(model(graphs), graphs.atom_weight, graphs.crystal, graphs.crystal_offsets)


def of_cells(model: Alignn, *cells: Structure, strategy: str = "shell", cutoff: float = 8.0) -> torch.Tensor:
    with torch.no_grad():
        return pooled(model, batch([graph(cell, strategy, cutoff) for cell in cells], torch.float64))


def test_translation_leaves_the_crystal_alone() -> None:
    moved = Structure(TIO2.lattice, TIO2.positions + np.array([0.3, -1.7, 40.0]), TIO2.numbers)
    torch.testing.assert_close(of_cells(encoder(), moved), of_cells(encoder(), TIO2))


def test_rotation_leaves_the_crystal_alone() -> None:
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    turned = Structure(TIO2.lattice @ rotation, TIO2.positions @ rotation, TIO2.numbers)
    torch.testing.assert_close(of_cells(encoder(), turned), of_cells(encoder(), TIO2))


def test_order_of_atoms_does_not_matter() -> None:
    shuffled = permuted(TIO2, np.random.default_rng(0).permutation(len(TIO2.numbers)))
    torch.testing.assert_close(of_cells(encoder(), shuffled), of_cells(encoder(), TIO2))


@pytest.mark.parametrize("repeats", [(2, 1, 1), (1, 2, 2)])
def test_supercell_is_the_same_crystal(repeats: tuple[int, int, int]) -> None:
    torch.testing.assert_close(of_cells(encoder(), supercell(TIO2, repeats)), of_cells(encoder(), TIO2))


def test_batched_is_one_by_one() -> None:
    cells = [structure(record) for record in RECORDS[:8]]
    singly = torch.cat([of_cells(encoder(), cell) for cell in cells])
    torch.testing.assert_close(of_cells(encoder(), *cells), singly)


def test_lone_atom_passes_alone_and_among_others() -> None:
    alone = of_cells(encoder(), LONE_ATOM, strategy="radius", cutoff=5.0)
    assert torch.isfinite(alone).all()
    among = of_cells(encoder(), TIO2, LONE_ATOM, strategy="radius", cutoff=5.0)
    torch.testing.assert_close(among[1:], alone)


def test_lone_atom_trains_with_batch_norm() -> None:
    model = encoder(norm="batch").train()
    pooled(model, batch([graph(LONE_ATOM, "radius", 5.0)], torch.float64)).sum().backward()
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_quotient_gives_the_whole_graph_s_features() -> None:
    # lengths and cosines are rounded to 1e-4 when classes are formed, and the first of a class stands for all
    torch.testing.assert_close(pooled(encoder(), merged()), pooled(encoder(), whole()), rtol=1e-4, atol=1e-5)
    assert len(merged().pairs.src) < len(whole().pairs.src) / 2


def test_batch_norm_of_a_quotient_has_the_statistics_of_the_whole() -> None:
    on_whole, on_merged = encoder(norm="batch").train(), encoder(norm="batch").train()
    torch.testing.assert_close(pooled(on_merged, merged()), pooled(on_whole, whole()), rtol=1e-4, atol=1e-5)
    for (name, ours), theirs in zip(on_merged.state_dict().items(), on_whole.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}")


def test_counts_of_a_quotient_add_up_to_the_whole() -> None:
    counts, everything = Counts.of(merged()), whole()
    totals = [float(part.sum()) for part in (counts.atoms, counts.bonds, counts.pairs, counts.lengths, counts.cosines)]
    bonds, pairs = len(everything.bonds.src), len(everything.pairs.src)
    assert totals == [everything.num_atoms, bonds, pairs, bonds, pairs]


def test_batch_norm_with_ones_is_torch_s() -> None:
    ours, theirs = BatchNorm(5), torch.nn.BatchNorm1d(5)
    rows = torch.randn(7, 5)
    torch.testing.assert_close(ours(rows), theirs(rows))
    torch.testing.assert_close(ours(rows, torch.ones(7)), theirs(rows))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    torch.testing.assert_close(ours.eval()(rows), theirs.eval()(rows))


def test_batch_norm_counts_a_row_as_often_as_it_stands() -> None:
    ours, theirs = BatchNorm(5), torch.nn.BatchNorm1d(5)
    rows, times = torch.randn(4, 5), torch.tensor([1, 3, 2, 5])
    expected = theirs(rows.repeat_interleave(times, dim=0))[times.cumsum(0) - 1]
    torch.testing.assert_close(ours(rows, times.float()), expected)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


@pytest.mark.parametrize("gcn_layers", [0, 1])
def test_only_what_nobody_reads_has_no_gradient(gcn_layers: int) -> None:
    model = encoder(gcn_layers=gcn_layers)
    model(merged()).square().sum().backward()
    without = {
        name.removesuffix(".weight").removesuffix(".bias") for name, p in model.named_parameters() if p.grad is None
    }
    last = "alignn_layers.1.on_pairs"
    last_layer = {f"{last}.{part}" for part in ("start", "end", "edge", "norm_edges", "norm_nodes")}
    last_norms = {"alignn_layers.0.on_pairs.norm_edges", "alignn_layers.1.on_bonds.norm_edges"}
    assert without == ({f"{last}.norm_edges", "gcn_layers.0.norm_edges"} if gcn_layers else last_layer | last_norms)


def test_fuse_is_called_after_each_layer_counted_from_one() -> None:
    seen = []

    def fuse(layer: int, atoms: torch.Tensor) -> torch.Tensor:
        seen.append(layer)
        return atoms

    encoder()(merged(2), fuse)
    assert seen == [1, 2, 3]  # two ALIGNN layers, one GCN layer


def test_bfloat16_autocast_stays_near_float32() -> None:
    model, graphs = encoder().float(), batch([graph(TIO2)])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = pooled(model, graphs)
    rough.float().sum().backward()
    torch.testing.assert_close(rough.float(), pooled(model, graphs), rtol=0.1, atol=0.1)


def test_basis_peaks_at_its_centres_with_the_package_s_width() -> None:
    basis = GaussianBasis(0.0, 8.0, 80)
    values = basis(torch.tensor([0.0, 8.0]))
    assert values[0, 0] == values[1, 79] == 1.0
    spacing = 8.0 / 79
    assert values[0, 1].item() == pytest.approx(np.exp(-(spacing**2) / spacing), rel=1e-5)


def test_atom_features_are_cgcnn_s() -> None:
    from jarvis.core.specie import get_node_attributes

    features = AtomFeatures()(torch.tensor([8, 26, 100]))
    expected = torch.tensor([get_node_attributes(symbol, "cgcnn") for symbol in ("O", "Fe", "Fm")]).float()
    assert torch.equal(features, expected)


@pytest.mark.parametrize(
    ("number", "name"), [(101, r"Md \(Z = 101\)"), (118, "Og"), (0, "no element"), (119, "no element")]
)
def test_element_outside_the_table_is_named(number: int, name: str) -> None:
    with pytest.raises(ValueError, match=f"no atom features for {name}"):
        AtomFeatures()(torch.tensor([8, number]))
    with pytest.raises(ValueError, match=name):
        check_elements([number])


def test_default_options_are_the_published_size() -> None:
    assert AlignnOptions().model_dump() == {
        "name": "alignn", "alignn_layers": 4, "gcn_layers": 4, "embedding": 64, "hidden": 256,
        "norm": "layer", "dropout": 0.0, "backend": "torch",
    }  # fmt: skip
