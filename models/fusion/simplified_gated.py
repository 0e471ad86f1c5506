"""Cross attention behind one gate: w = σ(MLP([g; t])); joint = Dropout(LN(g' + w·t' + g))."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.fusion.cross_attention import CrossModal
from models.fusion.gate_warmup import GateWarmup
from models.fusion.interface import GraphSide, TextSide, Widths
from models.fusion.records import LayerRecord
from models.options import GateLateOptions


class SimplifiedGatedFusion(nn.Module):
    """Additive, with a fifth of the gate parameters of `gated_cross_attention`."""

    def __init__(self, options: GateLateOptions, widths: Widths) -> None:
        super().__init__()
        self.output_dim = widths.joint
        self.cross = CrossModal(options, widths)
        self.gate = nn.Sequential(nn.Linear(2 * widths.joint, widths.joint), nn.ReLU(), nn.Linear(widths.joint, 1))
        self.warmup = GateWarmup(options.gate_warmup)
        self.norm = nn.LayerNorm(widths.joint)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, side: GraphSide, text: TextSide, record: LayerRecord | None) -> Tensor:
        g, t = self.cross(side, text, record)
        gate = self.warmup(torch.sigmoid(self.gate(torch.cat([side.g, text.t], dim=1))), record)
        graph_term, text_term = g + side.g, gate * t
        if record is not None:
            record.gate(gate)
            record.terms(graph_term, text_term)
        return self.dropout(self.norm(graph_term + text_term))  # type: ignore[no-any-return]
