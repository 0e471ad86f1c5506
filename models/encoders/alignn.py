"""ALIGNN: a graph network over the atoms and bonds of a crystal, and over its bonds and bond pairs.

Choudhary & DeCost, npj Comput. Mater. 7, 185 (2021). With `norm: layer` it computes what `alignn_atomwise_pure` of the
alignn package does (ALIGNN 2.0), with `norm: batch` the form published in 2021.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.batch import Distinct, Edges, GraphBatch
from models.encoders.basis import GaussianBasis
from models.encoders.convolution import EdgeGatedConvolution
from models.encoders.elements import NUM_FEATURES, AtomFeatures
from models.encoders.norm import NormedLayer
from models.encoders.segment import segment_sum
from models.options import AlignnOptions

BOND_BINS, LONGEST_BOND = 80, 8.0  # bins on [0, 8] Å
COSINE_BINS = 40  # bins on [-1, 1]

Fuse = Callable[[int, Tensor], Tensor]  # (layer, counted from 1, GCN after ALIGNN; atoms (N, d)) → atoms (N, d)


@dataclass(frozen=True)
class Counts:
    """How many of each there are in the whole crystals that a batch stands for; BatchNorm's statistics need it."""

    atoms: Tensor | None = None  # (N,)
    bonds: Tensor | None = None  # (E,)
    pairs: Tensor | None = None  # (P,)
    lengths: Tensor | None = None  # (K,) bonds of each distinct length
    cosines: Tensor | None = None  # (K',) pairs of each distinct cosine

    @classmethod
    def of(cls, graph: GraphBatch) -> Counts:
        if (atoms := graph.atom_weight) is None:
            atoms = torch.ones_like(graph.atomic_number, dtype=graph.length.value.dtype)
        bonds = _edge_count(graph.bonds, atoms)
        pairs = _edge_count(graph.pairs, bonds)
        return cls(atoms, bonds, pairs, _value_count(graph.length, bonds), _value_count(graph.cosine, pairs))


def _edge_count(edges: Edges, nodes: Tensor) -> Tensor:
    """An edge stands for `weight` edges at each of the nodes that its end node stands for."""
    of_end = nodes.index_select(0, edges.dst)
    return of_end if edges.weight is None else of_end * edges.weight


def _value_count(distinct: Distinct, edges: Tensor) -> Tensor:
    return segment_sum(edges, distinct.index, distinct.value_offsets, distinct.by_value)


class ScalarEmbedding(nn.Module):
    """(K,) distinct scalars → (K, hidden)."""

    def __init__(self, low: float, high: float, bins: int, options: AlignnOptions) -> None:
        super().__init__()
        self.basis = GaussianBasis(low, high, bins)
        self.first = NormedLayer(bins, options.embedding, options.norm)
        self.second = NormedLayer(options.embedding, options.hidden, options.norm)

    def forward(self, value: Tensor, multiplicity: Tensor | None) -> Tensor:
        return self.second(self.first(self.basis(value), multiplicity), multiplicity)  # type: ignore[no-any-return]


class AlignnLayer(nn.Module):
    """One convolution on atoms and bonds, then one on bonds and bond pairs."""

    def __init__(self, options: AlignnOptions, convolution: type[EdgeGatedConvolution]) -> None:
        super().__init__()
        self.on_bonds = convolution(options.hidden, options.norm, options.dropout)
        self.on_pairs = convolution(options.hidden, options.norm, options.dropout)

    def forward(
        self,
        graph: GraphBatch,
        atoms: Tensor,
        bonds: Tensor,
        pairs: Tensor,
        counts: Counts,
        *,
        first: bool,
        bonds_read: bool,
        pairs_read: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Updated atoms, bonds and pairs; bonds and pairs that nobody reads come back as they are.

        In the `first` layer bonds and pairs are given once per distinct length and cosine.
        """
        length, cosine = (graph.length, graph.cosine) if first else (None, None)
        atoms, messages = self.on_bonds(
            graph.bonds, atoms, bonds, counts.atoms, counts.bonds, distinct=length, update_edges=bonds_read
        )
        if messages is None:
            return atoms, bonds, pairs
        bonds, updated = self.on_pairs(
            graph.pairs, messages, pairs, counts.bonds, counts.pairs, distinct=cosine, update_edges=pairs_read
        )
        return atoms, bonds, pairs if updated is None else updated


class Alignn(nn.Module):
    """A batch of crystals → (N, hidden) atoms.

    Parameters that never receive a gradient, kept so that weights can be exchanged with the alignn package: the edge
    norm of the last convolution on bond pairs and of the last one on bonds and, without GCN layers, all of the last
    ALIGNN layer's convolution on bond pairs.
    """

    convolution: type[EdgeGatedConvolution] = EdgeGatedConvolution

    def __init__(self, options: AlignnOptions) -> None:
        super().__init__()
        self.options = options
        self.atom_features = AtomFeatures()
        self.atom_embedding = NormedLayer(NUM_FEATURES, options.hidden, options.norm)
        self.bond_embedding = ScalarEmbedding(0.0, LONGEST_BOND, BOND_BINS, options)
        self.cosine_embedding = ScalarEmbedding(-1.0, 1.0, COSINE_BINS, options)
        self.alignn_layers = nn.ModuleList(AlignnLayer(options, self.convolution) for _ in range(options.alignn_layers))
        self.gcn_layers = nn.ModuleList(
            self.convolution(options.hidden, options.norm, options.dropout) for _ in range(options.gcn_layers)
        )

    def forward(self, graph: GraphBatch, fuse: Fuse | None = None) -> Tensor:
        """`fuse` is called after every layer with its number and the atoms, and returns the atoms."""
        counts = Counts.of(graph) if self.options.norm == "batch" else Counts()
        atoms: Tensor = self.atom_embedding(self.atom_features(graph.atomic_number), counts.atoms)
        bonds = self.bond_embedding(graph.length.value, counts.lengths)
        pairs = self.cosine_embedding(graph.cosine.value, counts.cosines)
        rounds = len(self.alignn_layers) - (0 if self.gcn_layers else 1)  # ALIGNN layers whose bonds are read later
        for number, layer in enumerate(self.alignn_layers, 1):
            atoms, bonds, pairs = layer(
                graph, atoms, bonds, pairs, counts,
                first=number == 1, bonds_read=number <= rounds, pairs_read=number < rounds,
            )  # fmt: skip
            if fuse is not None:
                atoms = fuse(number, atoms)
        for number, convolution in enumerate(self.gcn_layers, 1):
            atoms, bonds = convolution(
                graph.bonds, atoms, bonds, counts.atoms, counts.bonds, update_edges=number < len(self.gcn_layers)
            )
            if fuse is not None:
                atoms = fuse(len(self.alignn_layers) + number, atoms)
        return atoms
