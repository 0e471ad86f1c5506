"""What the model is given: a batch of crystal graphs and the texts that belong to them.

Edges are numbered by their end node, so that every sum over the edges of a node is a segment reduction over CSR
offsets. A batch may hold the *quotient* of its crystals: one atom, bond and bond pair of each class of equal ones,
each with the number it stands for.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


class Movable:
    """A frozen dataclass of tensors that can be moved to a device."""

    def to(self, device: torch.device | str, non_blocking: bool = True):  # type: ignore[no-untyped-def]
        """The same values on `device`."""
        moved = {}
        for item in fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            if isinstance(value, Movable):
                moved[item.name] = value.to(device, non_blocking)
            elif isinstance(value, Tensor):
                moved[item.name] = value.to(device, non_blocking=non_blocking)
        return replace(self, **moved)  # type: ignore[type-var]


@dataclass(frozen=True)
class Edges(Movable):
    """Directed edges among n nodes, sorted by end node (and, within one, in a fixed order)."""

    src: Tensor  # (M,) int64 start node
    dst: Tensor  # (M,) int64 end node, ascending
    offsets: Tensor  # (n+1,) int64; the edges that end at node i are offsets[i]:offsets[i+1]
    by_src: Tensor  # (M,) int64 permutation that sorts the edges by start node
    src_offsets: Tensor  # (n+1,) int64 offsets of `by_src`
    weight: Tensor | None = None  # (M,) float; how many equal edges of its end node each stands for; None: one


@dataclass(frozen=True)
class Distinct(Movable):
    """A scalar of every edge, given once per distinct value of a crystal."""

    value: Tensor  # (K,) float
    index: Tensor  # (M,) int64; the scalar of edge m is value[index[m]]
    by_value: Tensor  # (M,) int64 permutation that sorts the edges by `index`
    value_offsets: Tensor  # (K+1,) int64 offsets of `by_value`


@dataclass(frozen=True)
class GraphBatch(Movable):
    """B crystals: N atoms, E bonds, P bond pairs. The nodes of `pairs` are the bonds."""

    atomic_number: Tensor  # (N,) int64
    atom_weight: Tensor | None  # (N,) float; how many equal atoms each stands for; None: one
    crystal: Tensor  # (N,) int64 crystal of each atom, ascending
    crystal_offsets: Tensor  # (B+1,) int64 offsets of atoms by crystal
    bonds: Edges  # (E) atom → atom
    pairs: Edges  # (P) bond (i→j) → bond (j→k)
    length: Distinct  # bond length, Å
    cosine: Distinct  # cos θ of a bond pair, −(r_ij·r_jk)/(|r_ij||r_jk|)

    @property
    def num_crystals(self) -> int:
        return self.crystal_offsets.shape[0] - 1

    @property
    def num_atoms(self) -> int:
        return self.atomic_number.shape[0]


@dataclass(frozen=True)
class TextBatch(Movable):
    """The descriptions of B crystals as a frozen text encoder sees them."""

    vector: Tensor  # (B, d_text) pooled embedding; zeros where there is none
    present: Tensor  # (B,) bool; False: the crystal has no description
    tokens: Tensor | None = None  # (B, L, d_text) token embeddings, padded; L ≥ 1 even where no crystal has a text
    token_mask: Tensor | None = None  # (B, L) bool; True: a token; at least one where `present`
