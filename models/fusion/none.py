"""No late fusion: the head reads the mean over the atoms."""

from __future__ import annotations

from torch import Tensor, nn

from models.fusion.interface import GraphSide, TextSide, Widths
from models.fusion.records import LayerRecord
from models.options import FusionOptions


class NoneFusion(nn.Module):
    """joint = pooled, as wide as an atom. As a middle fusion `none` has no layers, so nothing is ever called."""

    def __init__(self, options: FusionOptions, widths: Widths) -> None:
        super().__init__()
        self.output_dim = widths.node

    def forward(self, side: GraphSide, text: TextSide | None, record: LayerRecord | None) -> Tensor:
        return side.pooled
