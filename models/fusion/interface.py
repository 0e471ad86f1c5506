"""What a fusion is given and what it returns.

A middle fusion is a module `Fusion(options, widths)` with
`forward(h, text, graph, record) -> (N, d)`, called after the ALIGNN layers it is chosen for; each has its own.
A late fusion is a module `Fusion(options, widths)` with an attribute `output_dim` and
`forward(side, text, record) -> (B, output_dim)`, called once, before the head.
`record` is None unless somebody wants to know; a fusion computes nothing for it then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from models.batch import GraphBatch
from models.encoders.segment import gather
from models.fusion.records import LayerRecord


@dataclass(frozen=True)
class Widths:
    """Widths of what fusions meet."""

    node: int  # of an atom in the encoder
    joint: int  # of g and t
    token: int  # of a token of the text encoder


@dataclass(frozen=True)
class TextSide:
    """The texts of B crystals."""

    t: Tensor  # (B, joint) projected text; empty where nobody asks for it
    tokens: Tensor  # (B, L, token) as the text encoder gave them; empty where nobody asks for them
    token_mask: Tensor  # (B, L) bool; at least one token per crystal


NO_TEXT = TextSide(torch.empty(0), torch.empty(0), torch.empty(0))


@dataclass(frozen=True)
class GraphSide:
    """The graphs of B crystals after the encoder."""

    atoms: Tensor  # (N, node)
    pooled: Tensor  # (B, node) mean over the atoms
    g: Tensor  # (B, joint) projected graph; empty where nobody asks for it
    graph: GraphBatch


class MiddleFusion(Protocol):
    def __call__(self, h: Tensor, text: TextSide, graph: GraphBatch, record: LayerRecord | None) -> Tensor: ...


class LateFusion(Protocol):
    output_dim: int

    def __call__(self, side: GraphSide, text: TextSide, record: LayerRecord | None) -> Tensor: ...


def to_atoms(of_crystals: Tensor, graph: GraphBatch) -> Tensor:
    """(B, d) one row per crystal → (N, d) the row of each atom's crystal."""
    return gather(of_crystals, graph.crystal, graph.crystal_offsets)
