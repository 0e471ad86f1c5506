"""Weighted middle fusion: (w_graph, w_text) = softmax(W₂·tanh(W₁[h; u])) per atom;
out = LN(h + Dropout(w_graph·h + w_text·u))."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.batch import GraphBatch
from models.fusion.interface import TextSide, Widths, to_atoms
from models.fusion.records import LayerRecord
from models.fusion.text_projection import TextProjection
from models.options import MiddleOptions


class DynamicFusion(nn.Module):
    """The graph enters with weight 1 + w_graph and the text with w_text, which their `ratio` compares."""

    def __init__(self, options: MiddleOptions, widths: Widths) -> None:
        super().__init__()
        self.text = TextProjection(options, widths, nn.SiLU())
        self.weights = nn.Sequential(
            nn.Linear(2 * widths.node, options.hidden_dim), nn.Tanh(), nn.Linear(options.hidden_dim, 2)
        )
        self.norm = nn.LayerNorm(widths.node)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, h: Tensor, text: TextSide, graph: GraphBatch, record: LayerRecord | None) -> Tensor:
        of_crystals = self.text(text.t)
        u = to_atoms(of_crystals, graph)
        w_graph, w_text = self.weights(torch.cat([h, u], dim=1)).softmax(dim=1).split(1, dim=1)
        out: Tensor = self.norm(h + self.dropout(w_graph * h + w_text * u))
        if record is not None:
            record.mean("w_graph", w_graph, graph.atom_weight)
            record.mean("w_text", w_text, graph.atom_weight)
            record.mean("graph_weight", 1 + w_graph, graph.atom_weight)
            record.terms((1 + w_graph) * h, w_text * u, graph.atom_weight)
            record.mix(h, u, out, self.norm((1 + w_graph) * h), graph.atom_weight)
            record.text(text.t, of_crystals)
        return out
