"""Weights of the alignn package's models in ours.

Both compute the same; ours holds the two linear maps that read an edge's start node as one matrix, and the two that
read its end node as another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from models.encoders.alignn import Alignn

_PLACES = (  # where a layer sits: ours → theirs
    (r"^atom_embedding", "atom_embedding.layer"),
    (r"^bond_embedding\.first", "edge_embedding.1.layer"),
    (r"^bond_embedding\.second", "edge_embedding.2.layer"),
    (r"^cosine_embedding\.first", "angle_embedding.1.layer"),
    (r"^cosine_embedding\.second", "angle_embedding.2.layer"),
    (r"\.on_bonds\b", ".node_update"),
    (r"\.on_pairs\b", ".edge_update"),
)
_PARTS = {  # what a part of a layer is made of, in order
    "linear": ("0",),
    "norm": ("1",),
    "start": ("src_gate", "dst_update"),
    "end": ("dst_gate", "src_update"),
    "edge": ("edge_gate",),
    "norm_edges": ("bn_edges",),
    "norm_nodes": ("bn_nodes",),
}
_NOT_WEIGHTS = re.compile(r"_species_table|(edge|angle)_embedding\.0\.centers")


def load_alignn_weights(encoder: Alignn, head: nn.Linear, state: Mapping[str, Tensor]) -> None:
    """Copy the state dict of `alignn_atomwise_pure` (or `alignn_atomwise`) into `encoder` and `head`.

    Raises ValueError when a weight is missing, left over, or of another shape (other numbers of layers or widths).
    """
    left = {key for key in state if not _NOT_WEIGHTS.fullmatch(key)}
    weights = [(_their_keys(key), ours) for key, ours in encoder.state_dict().items()]
    weights += [([f"fc.{key}"], ours) for key, ours in head.state_dict().items()]
    for names, ours in weights:
        missing = [name for name in names if name not in state]
        if missing:
            raise ValueError(f"the alignn state dict has no {', '.join(missing)}")
        theirs = state[names[0]] if len(names) == 1 else torch.cat([state[name] for name in names])
        if theirs.shape != ours.shape:
            raise ValueError(f"{names[0]}: expected {tuple(ours.shape)} in all, found {tuple(theirs.shape)}")
        ours.copy_(theirs)  # a state dict shares its memory with the module
        left.difference_update(names)
    if left:
        raise ValueError(f"the alignn state dict has weights without a place here: {', '.join(sorted(left))}")


def _their_keys(key: str) -> list[str]:
    """The alignn package's names of what our parameter `key` is made of, in order."""
    module, _, kind = key.rpartition(".")
    for ours, theirs in _PLACES:
        module = re.sub(ours, theirs, module)
    place, _, part = module.rpartition(".")
    return [f"{place}.{name}.{kind}" for name in _PARTS.get(part, (part,))]
