"""joint = w_g·g + w_t·t, the weights two sigmoids of [g; t], normalised to sum to 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.fusion.interface import GraphSide, TextSide, Widths
from models.fusion.records import LayerRecord
from models.options import ProjectedLateOptions


class GatedFusion(nn.Module):
    """One weight per crystal and side."""

    def __init__(self, options: ProjectedLateOptions, widths: Widths) -> None:
        super().__init__()
        self.output_dim = options.output_dim or widths.joint
        self.gates = nn.Linear(2 * widths.joint, 2)
        self.out = nn.Linear(widths.joint, options.output_dim) if options.output_dim else nn.Identity()
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, side: GraphSide, text: TextSide, record: LayerRecord | None) -> Tensor:
        gates = torch.sigmoid(self.gates(torch.cat([side.g, text.t], dim=1)))
        w_graph, w_text = (gates / gates.sum(dim=1, keepdim=True)).chunk(2, dim=1)
        if record is not None:
            record.mean("w_graph", w_graph)
            record.mean("w_text", w_text)
            record.terms(w_graph * side.g, w_text * text.t)
        return self.dropout(self.out(w_graph * side.g + w_text * text.t))  # type: ignore[no-any-return]
