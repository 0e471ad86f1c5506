"""Cross attention behind a gate that is at least half open: e = 0.5 + 0.5·q·f;
joint = Dropout(LN((1 − e)·g + e·g' + e·t + (1 − e)·t'))."""

from __future__ import annotations

from torch import Tensor, nn

from models.fusion.cross_attention import CrossModal
from models.fusion.gated_cross_attention import DoubleGate
from models.fusion.interface import GraphSide, TextSide, Widths
from models.fusion.records import LayerRecord
from models.options import QualityGateLateOptions


class BalancedGatedFusion(nn.Module):
    """q and f as in `gated_cross_attention`. Warm-up acts on q·f: e rises from one half."""

    def __init__(self, options: QualityGateLateOptions, widths: Widths) -> None:
        super().__init__()
        self.output_dim = widths.joint
        self.cross = CrossModal(options, widths)
        self.gate = DoubleGate(options, widths.joint)
        self.norm = nn.LayerNorm(widths.joint)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, side: GraphSide, text: TextSide, record: LayerRecord | None) -> Tensor:
        g, t = self.cross(side, text, record)
        gate = 0.5 + 0.5 * self.gate(side.g, text.t, record)
        graph_term = (1 - gate) * side.g + gate * g
        text_term = gate * text.t + (1 - gate) * t
        if record is not None:
            record.gate(gate)
            record.terms(graph_term, text_term)
        return self.dropout(self.norm(graph_term + text_term))  # type: ignore[no-any-return]
