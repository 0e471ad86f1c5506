"""Gated middle fusion: a = σ(W[h; ũ]), ũ = text_scale·u; out = Dropout(LN(h + a ⊙ ũ))."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.batch import GraphBatch
from models.fusion.interface import TextSide, Widths, to_atoms
from models.fusion.records import LayerRecord
from models.fusion.text_projection import TextProjection
from models.options import ScaledMiddleOptions


class MiddleFusion(nn.Module):
    """The gate a is one number per atom and channel. With `gate_norm` each half of [h; ũ] passes a LayerNorm first:
    one over the whole would keep their proportion, and the larger half would still rule the gate."""

    text_scale: Tensor

    def __init__(self, options: ScaledMiddleOptions, widths: Widths) -> None:
        super().__init__()
        self.text = TextProjection(options, widths, nn.ReLU())
        self.gate = nn.Linear(2 * widths.node, widths.node)
        self.gate_norm = options.gate_norm
        self.norm_h = nn.LayerNorm(widths.node) if options.gate_norm else nn.Identity()
        self.norm_u = nn.LayerNorm(widths.node) if options.gate_norm else nn.Identity()
        scale = torch.tensor(options.initial_scale)
        if options.learnable_scale:
            self.text_scale = nn.Parameter(scale)
        else:
            self.register_buffer("text_scale", scale)
        self.norm = nn.LayerNorm(widths.node)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, h: Tensor, text: TextSide, graph: GraphBatch, record: LayerRecord | None) -> Tensor:
        of_crystals = self.text(text.t)
        u = to_atoms(self.text_scale * of_crystals, graph)
        gate = torch.sigmoid(self.gate(torch.cat([self.norm_h(h), self.norm_u(u)], dim=1)))
        graph_term, text_term = self._terms(h, u, gate, graph, record)
        out = self.norm(graph_term + text_term)
        if record is not None:
            record.gate(gate, graph.atom_weight)
            record.terms(graph_term, text_term, graph.atom_weight)
            record.mix(h, u, out, self.norm(graph_term), graph.atom_weight)
            record.text(text.t, of_crystals)
            record.value("text_scale", self.text_scale)
        return self.dropout(out)  # type: ignore[no-any-return]

    def _terms(
        self, h: Tensor, u: Tensor, gate: Tensor, graph: GraphBatch, record: LayerRecord | None
    ) -> tuple[Tensor, Tensor]:
        """What is added before the LayerNorm: the atoms and their gated text, both (N, node)."""
        return h, gate * u
