"""On identical graph tensors and copied weights we compute what the alignn package and DGL compute."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from alignn.models.alignn_atomwise_pure import ALIGNNAtomWisePure, ALIGNNAtomWisePureConfig
from alignn.torch_graph_builder import TorchGraph
from torch import nn

from benchmarks.alignn_weights import load_alignn_weights
from crystals import RECORDS, batch, graph, structure
from jobs.tasks.crystal.data.sources import load
from jobs.tasks.crystal.graphs.store import GraphStore
from jobs.tasks.crystal.schema import GraphParams
from model_cases import SMALL, merged, model, whole
from models.batch import GraphBatch
from models.crystal_model import CrystalModel
from models.encoders.alignn import Alignn
from models.encoders.convolution import EdgeGatedConvolution
from models.encoders.dgl_backend import from_dgl, to_dgl
from models.options import AlignnOptions

torch.set_num_threads(1)
MIDDLING = AlignnOptions(alignn_layers=2, gcn_layers=2, embedding=16, hidden=32)


@cache
def real(strategy: str, quotient: bool = False) -> GraphStore:
    """The graphs of 100 crystals of mp6k, 1 to 8 atoms a cell, as a run has them."""
    crystals = [its for its in load("mp6k", None).crystals if len(its.atomic_numbers) <= 8]
    chosen = crystals[:: len(crystals) // 100][:100]
    assert len(chosen) == 100
    with TemporaryDirectory() as folder:
        return GraphStore.open(chosen, GraphParams(strategy=strategy, quotient=quotient), Path(folder))


def in_float64(graphs: GraphBatch) -> GraphBatch:
    length, cosine = (replace(its, value=its.value.double()) for its in (graphs.length, graphs.cosine))
    return replace(graphs, length=length, cosine=cosine)


def theirs_for(options: AlignnOptions) -> ALIGNNAtomWisePure:
    return ALIGNNAtomWisePure(
        ALIGNNAtomWisePureConfig(
            name="alignn_atomwise_pure", alignn_layers=options.alignn_layers, gcn_layers=options.gcn_layers,
            atom_input_features=92, embedding_features=options.embedding, hidden_features=options.hidden,
            calculate_gradient=False, gradwise_weight=0.0, use_penalty=False, energy_mult_natoms=False,
            lg_on_fly=False,
        )
    )  # fmt: skip


def their_graphs(graphs: GraphBatch, encoder: Alignn) -> tuple[TorchGraph, TorchGraph, None]:
    """The same atoms, bonds and pairs; their bond vectors need the right length only."""
    length = graphs.length.value[graphs.length.index]
    bond_crystal = graphs.crystal[graphs.bonds.dst]
    bonds = torch.bincount(bond_crystal, minlength=graphs.num_crystals)
    pairs = torch.bincount(bond_crystal[graphs.pairs.dst], minlength=graphs.num_crystals)
    crystals = TorchGraph(
        graphs.num_atoms, graphs.bonds.src, graphs.bonds.dst,
        {"atom_features": encoder.atom_features(graphs.atomic_number)},
        {"r": torch.stack([length, torch.zeros_like(length), torch.zeros_like(length)], 1)},
        graphs.crystal_offsets.diff(), bonds,
    )  # fmt: skip
    cosine = graphs.cosine.value[graphs.cosine.index]
    lines = TorchGraph(len(length), graphs.pairs.src, graphs.pairs.dst, {}, {"h": cosine}, bonds, pairs)
    return crystals, lines, None


def pair_of(options: AlignnOptions, dtype: torch.dtype) -> tuple[CrystalModel, ALIGNNAtomWisePure]:
    torch.manual_seed(0)
    theirs = theirs_for(options).to(dtype).eval()
    ours = model(encoder=options, text_dim=None).to(dtype)
    load_alignn_weights(ours.encoder, ours.head, theirs.state_dict())
    return ours, theirs


def gradients_in_our_layout(theirs: nn.Module, ours: CrystalModel) -> dict[str, torch.Tensor]:
    """Their gradients, carried over like weights; zeros where they have none."""
    carrier = copy.deepcopy(ours)
    state = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in theirs.named_parameters()}
    load_alignn_weights(carrier.encoder, carrier.head, state)
    return dict(carrier.state_dict())


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    ours, theirs = ours.detach(), theirs.detach()
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-30))


def assert_gradients_agree(ours: CrystalModel, theirs: dict[str, torch.Tensor | None], bound: float) -> None:
    for name, parameter in ours.named_parameters():
        if parameter.grad is None:
            assert theirs[name] is None or not theirs[name].any(), name
        else:
            assert relative(parameter.grad, theirs[name]) < bound, name


def test_parity_with_alignn_in_float64() -> None:
    ours, theirs = pair_of(SMALL, torch.float64)
    target = torch.linspace(-1, 1, len(RECORDS), dtype=torch.float64)
    prediction, expected = ours(whole()).prediction, theirs(their_graphs(whole(), ours.encoder))["out"]
    assert relative(prediction, expected) < 1e-10
    (prediction - target).square().sum().backward()
    (expected - target).square().sum().backward()
    assert_gradients_agree(ours, gradients_in_our_layout(theirs, ours), 1e-8)


def test_parity_with_alignn_at_full_size_in_float32() -> None:
    ours, theirs = pair_of(AlignnOptions(), torch.float32)
    graphs = batch([graph(structure(record), "nearest") for record in RECORDS[:6]])
    assert sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in ours.parameters()) == 4_026_753
    with torch.no_grad():
        assert relative(ours(graphs).prediction, theirs(their_graphs(graphs, ours.encoder))["out"]) < 1e-5


def test_parity_on_100_real_crystals_with_alignn_in_float64() -> None:
    ours, theirs = pair_of(MIDDLING, torch.float64)
    target = torch.linspace(-1, 1, 100, dtype=torch.float64)
    for part in range(0, 100, 25):
        graphs = in_float64(real("nearest").batch(range(part, part + 25)))
        prediction, expected = ours(graphs).prediction, theirs(their_graphs(graphs, ours.encoder))["out"]
        assert relative(prediction, expected) < 1e-10
        (prediction - target[part : part + 25]).square().sum().backward()
        (expected - target[part : part + 25]).square().sum().backward()
    assert_gradients_agree(ours, gradients_in_our_layout(theirs, ours), 1e-8)


def test_parity_on_100_real_crystals_with_dgl_kernels_in_float64() -> None:
    ours = model(encoder=MIDDLING, text_dim=None)
    theirs = model(encoder=MIDDLING.model_copy(update={"backend": "dgl"}), text_dim=None, seed=1)
    theirs.load_state_dict(ours.state_dict())
    for part in range(0, 100, 25):
        graphs = in_float64(real("shell").batch(range(part, part + 25)))
        prediction, expected = ours(graphs).prediction, theirs(graphs).prediction
        assert relative(prediction, expected) < 1e-12
        prediction.square().sum().backward()
        expected.square().sum().backward()
    assert_gradients_agree(ours, {name: p.grad for name, p in theirs.named_parameters()}, 1e-10)


def test_parity_on_100_real_crystals_at_full_size_in_float32() -> None:
    ours, theirs = pair_of(AlignnOptions(), torch.float32)
    found, expected = [], []
    with torch.no_grad():
        for part in range(0, 100, 20):
            graphs = real("nearest").batch(range(part, part + 20))
            found.append(ours(graphs).prediction)
            expected.append(theirs(their_graphs(graphs, ours.encoder))["out"])
    assert relative(torch.cat(found), torch.cat(expected)) < 1e-5


def test_parity_of_the_quotient_of_100_real_crystals_with_the_whole_graphs() -> None:
    net = model(encoder=MIDDLING, text_dim=None)
    for part in range(0, 100, 50):
        merged_ones, whole_ones = (real("shell", quotient).batch(range(part, part + 50)) for quotient in (True, False))
        assert merged_ones.num_atoms < whole_ones.num_atoms
        with torch.no_grad():
            few, all_of_them = net(in_float64(merged_ones)).prediction, net(in_float64(whole_ones)).prediction
        assert relative(few, all_of_them) < 1e-5


def test_parity_of_the_quotient_with_alignn_on_the_whole_graph() -> None:
    ours, theirs = pair_of(SMALL, torch.float64)
    prediction, expected = ours(merged()).prediction, theirs(their_graphs(whole(), ours.encoder))["out"]
    assert relative(prediction, expected) < 1e-5
    prediction.square().sum().backward()
    expected.square().sum().backward()
    assert_gradients_agree(ours, gradients_in_our_layout(theirs, ours), 1e-4)  # lengths were merged within 1e-4 Å


def test_parity_of_dgl_kernels_with_ours() -> None:
    ours = model(encoder=SMALL, text_dim=None)
    theirs = model(encoder=SMALL.model_copy(update={"backend": "dgl"}), text_dim=None, seed=1)
    theirs.load_state_dict(ours.state_dict())
    for graphs in (whole(), merged()):
        ours.zero_grad()
        theirs.zero_grad()
        prediction, expected = ours(graphs).prediction, theirs(graphs).prediction
        assert relative(prediction, expected) < 1e-12
        prediction.square().sum().backward()
        expected.square().sum().backward()
        assert_gradients_agree(ours, {name: p.grad for name, p in theirs.named_parameters()}, 1e-10)


def test_parity_of_the_2021_convolution_with_dgl_s() -> None:
    from alignn.models.alignn import EdgeGatedGraphConv  # imports dgl, for which dgl_backend has to be imported first

    torch.manual_seed(0)
    theirs = EdgeGatedGraphConv(16, 16).double()
    ours = EdgeGatedConvolution(16, "batch").double()
    state, graphs = theirs.state_dict(), whole(6)
    ours.load_state_dict(
        {
            f"start.{kind}": torch.cat([state[f"src_gate.{kind}"], state[f"dst_update.{kind}"]])
            for kind in ("weight", "bias")
        }
        | {
            f"end.{kind}": torch.cat([state[f"dst_gate.{kind}"], state[f"src_update.{kind}"]])
            for kind in ("weight", "bias")
        }
        | {f"edge.{kind}": state[f"edge_gate.{kind}"] for kind in ("weight", "bias")}
        | {key.replace("bn_", "norm_"): value for key, value in state.items() if key.startswith("bn_")}
    )
    nodes = torch.randn(graphs.num_atoms, 16, dtype=torch.float64)
    edges = torch.randn(len(graphs.bonds.src), 16, dtype=torch.float64)
    expected = theirs(to_dgl(graphs)[0], nodes, edges)
    torch.testing.assert_close(ours(graphs.bonds, nodes, edges), tuple(expected), rtol=1e-10, atol=1e-10)
    for kind in ("nodes", "edges"):
        for statistic in ("running_mean", "running_var"):
            name = f"_{kind}.{statistic}"
            torch.testing.assert_close(ours.state_dict()[f"norm{name}"], theirs.state_dict()[f"bn{name}"])


@pytest.mark.parametrize("graphs", [whole, merged])
def test_parity_of_a_round_trip_through_dgl(graphs) -> None:
    crystals, lines = to_dgl(graphs())
    assert crystals.batch_num_nodes().tolist() == graphs().crystal_offsets.diff().tolist()
    assert lines.num_nodes() == crystals.num_edges()
    net = model(text_dim=None)
    torch.testing.assert_close(net(from_dgl(crystals, lines)).prediction, net(graphs()).prediction)


def test_alignn_weights_of_another_size_are_refused() -> None:
    ours = model(encoder=SMALL, text_dim=None)
    state = theirs_for(SMALL).state_dict()
    with pytest.raises(ValueError, match=r"has no alignn_layers\.1\.edge_update\.src_gate\.weight"):
        load_alignn_weights(ours.encoder, ours.head, {k: v for k, v in state.items() if "1.edge_update.src" not in k})
    with pytest.raises(ValueError, match="without a place here: more"):
        load_alignn_weights(ours.encoder, ours.head, state | {"more": torch.zeros(1)})
    wide = theirs_for(SMALL.model_copy(update={"hidden": 32})).state_dict()
    with pytest.raises(
        ValueError, match=r"atom_embedding\.layer\.0\.weight: expected \(16, 92\) in all, found \(32, 92\)"
    ):
        load_alignn_weights(ours.encoder, ours.head, wide)


def test_missing_dgl_names_the_backend_that_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dgl", None)
    monkeypatch.delitem(sys.modules, "models.encoders.dgl_backend")
    with pytest.raises(ValueError, match=r"needs the package dgl 1\.1\.3.*backend torch computes the same"):
        model(encoder=SMALL.model_copy(update={"backend": "dgl"}), text_dim=None)
