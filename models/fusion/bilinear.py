"""joint = Σ_rank (U g) ⊙ (V t): a low-rank bilinear map (Kim et al., arXiv:1610.04325)."""

from __future__ import annotations

from torch import Tensor, nn

from models.fusion.interface import GraphSide, TextSide, Widths
from models.fusion.records import LayerRecord
from models.options import RankLateOptions


class BilinearFusion(nn.Module):
    """U and V map to `rank` vectors of `output_dim` each; without biases, so that nothing but products remains."""

    def __init__(self, options: RankLateOptions, widths: Widths) -> None:
        super().__init__()
        self.output_dim = options.output_dim
        self.graph = nn.Linear(widths.joint, options.rank * options.output_dim, bias=False)
        self.text = nn.Linear(widths.joint, options.rank * options.output_dim, bias=False)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, side: GraphSide, text: TextSide, record: LayerRecord | None) -> Tensor:
        graph_factor, text_factor = self.graph(side.g), self.text(text.t)
        if record is not None:  # a product has no terms: its factors are compared
            record.terms(graph_factor, text_factor)
        return self.dropout((graph_factor * text_factor).unflatten(1, (-1, self.output_dim)).sum(1))  # type: ignore[no-any-return]
