"""joint = MLP([g; t])."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.fusion.interface import GraphSide, TextSide, Widths
from models.fusion.records import LayerRecord
from models.options import LateOptions


class ConcatFusion(nn.Module):
    """The hidden layer of the MLP is as wide as g; its output layer is the model's head."""

    def __init__(self, options: LateOptions, widths: Widths) -> None:
        super().__init__()
        self.output_dim = widths.joint
        self.linear = nn.Linear(2 * widths.joint, widths.joint)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, side: GraphSide, text: TextSide, record: LayerRecord | None) -> Tensor:
        joint = torch.cat([side.g, text.t], dim=1)
        if record is not None:  # the two terms of the sum W·[g; t]
            width = text.t.shape[1]
            record.terms(side.g @ self.linear.weight[:, :width].T, text.t @ self.linear.weight[:, width:].T)
        return self.dropout(nn.functional.silu(self.linear(joint)))  # type: ignore[no-any-return]
