"""Feature-wise linear modulation: out = LN(γ(t) ⊙ h + β(t)) (Perez et al., arXiv:1709.07871).

γ = 1 + an MLP of t and β another, so that a text that says nothing leaves the atoms as they are.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.batch import GraphBatch
from models.fusion.interface import TextSide, Widths, to_atoms
from models.fusion.records import LayerRecord
from models.fusion.text_projection import TextProjection
from models.options import MiddleOptions


class FilmFusion(nn.Module):
    """The text stretches and shifts every channel of every atom of its crystal."""

    def __init__(self, options: MiddleOptions, widths: Widths) -> None:
        super().__init__()
        self.scale = TextProjection(options, widths, nn.SiLU())
        self.shift = TextProjection(options, widths, nn.SiLU())
        self.norm = nn.LayerNorm(widths.node)

    def forward(self, h: Tensor, text: TextSide, graph: GraphBatch, record: LayerRecord | None) -> Tensor:
        shift = self.shift(text.t)
        gamma, beta = to_atoms(1 + self.scale(text.t), graph), to_atoms(shift, graph)
        out: Tensor = self.norm(gamma * h + beta)
        if record is not None:
            record.terms(gamma * h, beta, graph.atom_weight)
            record.mix(h, beta, out, self.norm(h), graph.atom_weight)
            record.text(text.t, shift)
        return out
