"""ALIGNN with the message passing of DGL 1.1.3, and our graphs as DGLGraphs. Imported only when it is selected.

DGL has had no release since 2024; its kernels serve as a comparison and for people whose graphs are DGLGraphs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from models.batch import Distinct, Edges, GraphBatch
from models.encoders.alignn import Alignn, Fuse
from models.encoders.convolution import EdgeGatedConvolution
from models.encoders.cpp_convolution import GATE_EPSILON

os.environ.setdefault("DGLBACKEND", "pytorch")  # otherwise dgl writes a file into the home directory and prints

import dgl
from dgl import function as fn


@dataclass(frozen=True)
class DglEdges(Edges):
    """Edges with the DGLGraph that they form."""

    graph: Any = None


class DglConvolution(EdgeGatedConvolution):
    """The same parameters and formula; sums by DGL's sparse-matrix kernels."""

    may_be_fused = False

    def _pass_messages(
        self, edges: Edges, nodes: Tensor, features: Tensor, distinct: Distinct | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        assert isinstance(edges, DglEdges)
        graph = edges.graph.local_var()
        graph.ndata["start_gate"], graph.ndata["value"] = self.start(nodes).chunk(2, dim=1)
        graph.ndata["end_gate"], update = self.end(nodes).chunk(2, dim=1)
        graph.apply_edges(fn.u_add_v("start_gate", "end_gate", "gate"))
        gate = graph.edata.pop("gate") + self._edge_gate(features, distinct)
        graph.edata["share"] = self._open_share(gate, edges)
        graph.update_all(fn.u_mul_e("value", "share", "message"), fn.sum("message", "sum"))
        graph.update_all(fn.copy_e("share", "message"), fn.sum("message", "shares"))
        return gate, graph.ndata["sum"] / (graph.ndata["shares"] + GATE_EPSILON), update


class DglAlignn(Alignn):
    """A batch of crystals → (N, hidden) atoms, as `Alignn`, whose weights it can exchange."""

    convolution = DglConvolution

    def forward(self, graph: GraphBatch, fuse: Fuse | None = None) -> Tensor:
        bonds = _with_graph(graph.bonds, graph.num_atoms)
        pairs = _with_graph(graph.pairs, len(graph.bonds.src))
        return super().forward(replace(graph, bonds=bonds, pairs=pairs), fuse)


def _with_graph(edges: Edges, nodes: int) -> DglEdges:
    graph = dgl.graph((edges.src, edges.dst), num_nodes=nodes)
    return DglEdges(edges.src, edges.dst, edges.offsets, edges.by_src, edges.src_offsets, edges.weight, graph)


def to_dgl(graph: GraphBatch) -> tuple[Any, Any]:
    """The crystal graphs and their line graphs, batched.

    Crystal graph: ndata atomic_number and weight, edata length (Å) and weight. Line graph: edata cosine and weight.
    Weights are absent where everything counts once.
    """
    atoms = graph.crystal_offsets.diff()
    bonds = torch.bincount(graph.crystal[graph.bonds.dst], minlength=graph.num_crystals)
    bond_crystal = graph.crystal[graph.bonds.dst]
    pairs = torch.bincount(bond_crystal[graph.pairs.dst], minlength=graph.num_crystals)
    crystals = dgl.graph((graph.bonds.src, graph.bonds.dst), num_nodes=graph.num_atoms)
    crystals.set_batch_num_nodes(atoms)
    crystals.set_batch_num_edges(bonds)
    crystals.ndata["atomic_number"] = graph.atomic_number
    crystals.edata["length"] = graph.length.value[graph.length.index]
    lines = dgl.graph((graph.pairs.src, graph.pairs.dst), num_nodes=len(graph.bonds.src))
    lines.set_batch_num_nodes(bonds)
    lines.set_batch_num_edges(pairs)
    lines.edata["cosine"] = graph.cosine.value[graph.cosine.index]
    for data, weight in (
        (crystals.ndata, graph.atom_weight),
        (crystals.edata, graph.bonds.weight),
        (lines.edata, graph.pairs.weight),
    ):
        if weight is not None:
            data["weight"] = weight
    return crystals, lines


def from_dgl(crystals: Any, lines: Any) -> GraphBatch:
    """The batch that `to_dgl` made, or any pair of DGLGraphs with its fields, in any order of edges.

    crystals: ndata atomic_number, edata length (Å); lines, whose nodes are the edges of `crystals`: edata cosine.
    """
    atoms, bonds = crystals.num_nodes(), crystals.num_edges()
    starts, ends = crystals.edges()
    order, bond_edges = _sorted_edges(starts, ends, atoms, crystals.edata.get("weight"))
    place = torch.empty_like(order)
    place[order] = torch.arange(bonds, device=order.device)
    starts, ends = lines.edges()
    pair_order, pair_edges = _sorted_edges(place[starts], place[ends], bonds, lines.edata.get("weight"))
    sizes = crystals.batch_num_nodes()
    crystal = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes)
    return GraphBatch(
        crystals.ndata["atomic_number"],
        crystals.ndata.get("weight"),
        crystal,
        _offsets(crystal, len(sizes)),
        bond_edges,
        pair_edges,
        _one_by_one(crystals.edata["length"][order]),
        _one_by_one(lines.edata["cosine"][pair_order]),
    )


def _sorted_edges(start: Tensor, end: Tensor, nodes: int, weight: Tensor | None) -> tuple[Tensor, Edges]:
    """The permutation that sorts edges by their end node (then start), and the edges so sorted."""
    order = torch.argsort(end * nodes + start, stable=True)
    start, end = start[order], end[order]
    by_start = torch.argsort(start, stable=True)
    weight = None if weight is None else weight[order]
    return order, Edges(start, end, _offsets(end, nodes), by_start, _offsets(start[by_start], nodes), weight)


def _offsets(ascending: Tensor, groups: int) -> Tensor:
    return torch.searchsorted(ascending, torch.arange(groups + 1, device=ascending.device))


def _one_by_one(values: Tensor) -> Distinct:
    """Every value its own: what is equal among them DGL does not say."""
    numbers = torch.arange(len(values) + 1, device=values.device)
    return Distinct(values, numbers[:-1], numbers[:-1], numbers)
