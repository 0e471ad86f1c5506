"""Cross attention behind a double gate: e = q·f; joint = Dropout(LN((1 − e)·g' + e·t' + g)).

q: the quality of the text (`text_quality`); f = σ(MLP([g; t])); g' and t' as in `cross_attention`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.fusion.cross_attention import CrossModal
from models.fusion.gate_warmup import GateWarmup
from models.fusion.interface import GraphSide, TextSide, Widths
from models.fusion.records import LayerRecord
from models.fusion.text_quality import TextQuality
from models.options import QualityGateLateOptions


class DoubleGate(nn.Module):
    """q·f, warmed up: (B, 1). Two factors below 1 each: their product tends to shut the text out."""

    def __init__(self, options: QualityGateLateOptions, joint: int) -> None:
        super().__init__()
        self.quality = TextQuality(joint, options.text_quality)
        self.fusion = nn.Sequential(
            nn.Linear(2 * joint, 2 * joint), nn.ReLU(), nn.Linear(2 * joint, joint), nn.ReLU(), nn.Linear(joint, 1)
        )
        self.warmup = GateWarmup(options.gate_warmup)

    def forward(self, graph_vector: Tensor, text_vector: Tensor, record: LayerRecord | None) -> Tensor:
        quality = self.quality(text_vector)
        fusion = torch.sigmoid(self.fusion(torch.cat([graph_vector, text_vector], dim=1)))
        if record is not None:
            record.mean("quality", quality)
            record.mean("fusion_gate", fusion)
        return self.warmup(quality * fusion, record)  # type: ignore[no-any-return]


class GatedCrossAttentionFusion(nn.Module):
    """The original form, with its double gate."""

    def __init__(self, options: QualityGateLateOptions, widths: Widths) -> None:
        super().__init__()
        self.output_dim = widths.joint
        self.cross = CrossModal(options, widths)
        self.gate = DoubleGate(options, widths.joint)
        self.norm = nn.LayerNorm(widths.joint)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, side: GraphSide, text: TextSide, record: LayerRecord | None) -> Tensor:
        g, t = self.cross(side, text, record)
        gate = self.gate(side.g, text.t, record)
        graph_term, text_term = (1 - gate) * g + side.g, gate * t
        if record is not None:
            record.gate(gate)
            record.terms(graph_term, text_term)
        return self.dropout(self.norm(graph_term + text_term))  # type: ignore[no-any-return]
