"""Gated middle fusion with a scaled residual and an importance per atom.

a' = a·(1 + β·imp), imp = σ(MLP(h)) per atom; out = Dropout(LN(node_scale·h + a' ⊙ ũ)), a and ũ as in `middle`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.batch import GraphBatch
from models.fusion.interface import Widths
from models.fusion.middle import MiddleFusion
from models.fusion.records import LayerRecord
from models.options import ImprovedMiddleOptions


class ImprovedFusion(MiddleFusion):
    """Each switch alone gives an ablation; with both off it is `middle`. β starts at 1."""

    def __init__(self, options: ImprovedMiddleOptions, widths: Widths) -> None:
        super().__init__(options, widths)
        start = torch.tensor(options.initial_node_scale)
        self.node_scale = nn.Parameter(start) if options.residual_scaling else None
        self.beta = nn.Parameter(torch.ones(())) if options.dynamic_gating else None
        self.importance = (
            nn.Sequential(nn.Linear(widths.node, options.hidden_dim), nn.ReLU(), nn.Linear(options.hidden_dim, 1))
            if options.dynamic_gating
            else None
        )

    def _terms(
        self, h: Tensor, u: Tensor, gate: Tensor, graph: GraphBatch, record: LayerRecord | None
    ) -> tuple[Tensor, Tensor]:
        graph_term, text_term = h, gate * u
        if self.node_scale is not None:
            graph_term = self.node_scale * h
            if record is not None:
                record.value("node_scale", self.node_scale)
        if self.beta is not None and self.importance is not None:
            importance = torch.sigmoid(self.importance(h))
            text_term = text_term * (1 + self.beta * importance)
            if record is not None:
                record.value("beta", self.beta)
                record.mean("importance", importance, graph.atom_weight)
                record.mean("modulated_gate", gate * (1 + self.beta * importance), graph.atom_weight)  # a'
        return graph_term, text_term
