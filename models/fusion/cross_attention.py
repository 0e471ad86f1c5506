"""Atoms and tokens attend to each other: g' = LN(g + what the atoms read), t' = LN(t + what the tokens read)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.attention import CrossAttention, Keys, PaddedAtoms
from models.encoders.segment import weighted_mean
from models.fusion.interface import GraphSide, TextSide, Widths
from models.fusion.records import LayerRecord
from models.options import CrossAttentionLateOptions


class TokenExchange(nn.Module):
    """(B, joint) what the graph reads from the tokens, and what the text reads from the atoms.

    Every atom queries the tokens and every token the atoms; the contexts are averaged over the atoms and the tokens.
    """

    def __init__(self, options: CrossAttentionLateOptions, widths: Widths) -> None:
        super().__init__()
        shared = options.hidden_dim, options.num_heads, widths.joint, options.dropout
        self.atoms_read = CrossAttention(widths.node, widths.token, *shared)
        self.tokens_read = CrossAttention(widths.token, widths.node, *shared)

    def forward(self, side: GraphSide, text: TextSide, record: LayerRecord | None) -> tuple[Tensor, Tensor]:
        graph = side.graph
        atoms, tokens = PaddedAtoms.of(side.atoms, graph), Keys.of_tokens(text.tokens, text.token_mask)
        of_atoms = atoms.pick(self.atoms_read(atoms.states, tokens))
        of_tokens = self.tokens_read(tokens.states, atoms)
        if record is not None:
            entropy = atoms.pick(self.atoms_read.entropy(atoms.states, tokens))
            record.mean("attention_entropy", entropy, graph.atom_weight)
            record.mean("token_attention_entropy", _over_tokens(self.tokens_read.entropy(tokens.states, atoms), text))
        from_text = weighted_mean(of_atoms, graph.atom_weight, graph.crystal, graph.crystal_offsets)
        return from_text, _over_tokens(of_tokens, text)


def _over_tokens(values: Tensor, text: TextSide) -> Tensor:
    """(B, L, …) → (B, …) mean over the tokens of each text."""
    mask = text.token_mask.to(values.dtype)
    return torch.einsum("bl,bl...->b...", mask / mask.sum(1, keepdim=True), values)


class PooledExchange(nn.Module):
    """The same between one vector on each side: over a single key a softmax is 1, and attention is a linear map."""

    def __init__(self, options: CrossAttentionLateOptions, widths: Widths) -> None:
        super().__init__()
        width, hidden = widths.joint, options.hidden_dim
        self.graph_reads = nn.Sequential(nn.Linear(width, hidden), nn.Linear(hidden, width))  # value, output
        self.text_reads = nn.Sequential(nn.Linear(width, hidden), nn.Linear(hidden, width))

    def forward(self, side: GraphSide, text: TextSide, record: LayerRecord | None) -> tuple[Tensor, Tensor]:
        return self.graph_reads(text.t), self.text_reads(side.g)


class CrossModal(nn.Module):
    """g' and t', both (B, joint): the base of `cross_attention` and of the gated forms."""

    def __init__(self, options: CrossAttentionLateOptions, widths: Widths) -> None:
        super().__init__()
        self.exchange = (TokenExchange if options.tokens == "all" else PooledExchange)(options, widths)
        self.norm_g = nn.LayerNorm(widths.joint)
        self.norm_t = nn.LayerNorm(widths.joint)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, side: GraphSide, text: TextSide, record: LayerRecord | None) -> tuple[Tensor, Tensor]:
        from_text, from_graph = self.exchange(side, text, record)
        if record is not None:
            record.norm("read_from_text_norm", from_text)
            record.norm("read_from_graph_norm", from_graph)
        return self.norm_g(side.g + self.dropout(from_text)), self.norm_t(text.t + self.dropout(from_graph))


class CrossAttentionFusion(nn.Module):
    """joint = [g'; t']."""

    def __init__(self, options: CrossAttentionLateOptions, widths: Widths) -> None:
        super().__init__()
        self.output_dim = 2 * widths.joint
        self.cross = CrossModal(options, widths)

    def forward(self, side: GraphSide, text: TextSide, record: LayerRecord | None) -> Tensor:
        g, t = self.cross(side, text, record)
        if record is not None:
            record.terms(g, t)
        return torch.cat([g, t], dim=1)
