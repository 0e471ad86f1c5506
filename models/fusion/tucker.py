"""joint = LN(Linear(vec(U g ⊗ V t))): a Tucker decomposition of the bilinear map (MUTAN, Ben-younes et al., 2017)."""

from __future__ import annotations

from torch import Tensor, nn

from models.fusion.interface import GraphSide, TextSide, Widths
from models.fusion.records import LayerRecord
from models.options import RankLateOptions


class TuckerFusion(nn.Module):
    """U and V map to `rank` numbers each; the linear map of their outer product is the core tensor."""

    def __init__(self, options: RankLateOptions, widths: Widths) -> None:
        super().__init__()
        self.output_dim = options.output_dim
        self.graph = nn.Linear(widths.joint, options.rank)
        self.text = nn.Linear(widths.joint, options.rank)
        self.core = nn.Linear(options.rank**2, options.output_dim)
        self.norm = nn.LayerNorm(options.output_dim)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, side: GraphSide, text: TextSide, record: LayerRecord | None) -> Tensor:
        graph_factor, text_factor = self.graph(side.g), self.text(text.t)
        if record is not None:  # a product has no terms: its factors are compared
            record.terms(graph_factor, text_factor)
        outer = graph_factor.unsqueeze(2) * text_factor.unsqueeze(1)
        return self.dropout(self.norm(self.core(outer.flatten(1))))  # type: ignore[no-any-return]
