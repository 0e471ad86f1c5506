"""Each atom queries the description's tokens with multi-head attention; out = LN(h + context)."""

from __future__ import annotations

from torch import Tensor, nn

from models.attention import CrossAttention, Keys, PaddedAtoms
from models.batch import GraphBatch
from models.fusion.interface import TextSide, Widths
from models.fusion.records import LayerRecord
from models.options import AttentionMiddleOptions


class AtomAttentionFusion(nn.Module):
    """Reads the tokens as the text encoder gave them, and not the vector t."""

    def __init__(self, options: AttentionMiddleOptions, widths: Widths) -> None:
        super().__init__()
        self.attention = CrossAttention(
            widths.node, widths.token, options.hidden_dim, options.num_heads, widths.node, options.dropout
        )
        self.norm = nn.LayerNorm(widths.node)

    def forward(self, h: Tensor, text: TextSide, graph: GraphBatch, record: LayerRecord | None) -> Tensor:
        atoms = PaddedAtoms.of(h, graph)
        tokens = Keys.of_tokens(text.tokens, text.token_mask)
        context = atoms.pick(self.attention(atoms.states, tokens))
        out: Tensor = self.norm(h + context)
        if record is not None:
            entropy = atoms.pick(self.attention.entropy(atoms.states, tokens))
            record.mean("attention_entropy", entropy, graph.atom_weight)
            record.terms(h, context, graph.atom_weight)
            record.mix(h, context, out, self.norm(h), graph.atom_weight)
        return out
