"""joint = Linear(w₁·(g + t) + w₂·(g ⊙ t) + w₃·(a ⊙ g + (1 − a) ⊙ t)), w = softmax(W[g; t]), a = σ(V[g; t])."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.fusion.interface import GraphSide, TextSide, Widths
from models.fusion.records import LayerRecord
from models.options import OutputLateOptions


class AdaptiveFusion(nn.Module):
    """Each crystal chooses between adding, multiplying and gating."""

    def __init__(self, options: OutputLateOptions, widths: Widths) -> None:
        super().__init__()
        self.output_dim = options.output_dim
        self.choice = nn.Linear(2 * widths.joint, 3)
        self.gate = nn.Linear(2 * widths.joint, widths.joint)
        self.out = nn.Linear(widths.joint, options.output_dim)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, side: GraphSide, text: TextSide, record: LayerRecord | None) -> Tensor:
        g, t = side.g, text.t
        both = torch.cat([g, t], dim=1)
        add, multiply, gated = self.choice(both).softmax(dim=1).split(1, dim=1)
        gate = torch.sigmoid(self.gate(both))
        graph_term = (add + gated * gate) * g
        text_term = (add + gated * (1 - gate)) * t
        if record is not None:
            for name, share in (("w_add", add), ("w_multiply", multiply), ("w_gate", gated)):
                record.mean(name, share)
            record.gate(add + gated * (1 - gate))  # what multiplies the text, as in every other fusion
            record.terms(graph_term, text_term)
        return self.dropout(self.out(graph_term + text_term + multiply * g * t))  # type: ignore[no-any-return]
