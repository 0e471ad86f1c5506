"""Sequences of one modality encoded, and read by another: masked attention in pre-norm blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.sentiment.options import SentimentModelOptions
from models.sentiment.sequences import Sequences


class Attention(nn.Module):
    """Multi-head attention of (B, Lq, w) to the positions of (B, Lk, w) that the mask (B, Lk) admits."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, query: Tensor, source: Tensor, mask: Tensor) -> Tensor:
        q, (k, v) = self._split(self.query(query)), map(self._split, self.key_value(source).chunk(2, dim=2))
        admitted = mask[:, None, None, :]
        dropout = self.dropout if self.training else 0.0
        context = F.scaled_dot_product_attention(
            q, k, v, attn_mask=admitted, dropout_p=dropout
        )  # (B, heads, Lq, w/heads)
        return self.out(context.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _split(self, values: Tensor) -> Tensor:
        return values.reshape(*values.shape[:2], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Sequential):
    """LayerNorm, a hidden layer of twice the width, Dropout."""

    def __init__(self, width: int, dropout: float) -> None:
        hidden = 2 * width
        super().__init__(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width), nn.Dropout(dropout)
        )


class SelfBlock(nn.Module):
    """A sequence that attends to itself."""

    def __init__(self, options: SentimentModelOptions) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(options.width)
        self.attention = Attention(options.width, options.num_heads, options.dropout)
        self.feed_forward = FeedForward(options.width, options.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        normed = self.norm(x)
        x = x + self.attention(normed, normed, mask)
        return x + self.feed_forward(x)  # type: ignore[no-any-return]


class SequenceEncoder(nn.Module):
    """Features (B, L, d) with sinusoidal positions (Vaswani et al., arXiv:1706.03762) → (B, L, w)."""

    def __init__(self, features: int, options: SentimentModelOptions) -> None:
        super().__init__()
        self.project = nn.Linear(features, options.width)
        self.norm = nn.LayerNorm(options.width)
        self.dropout = nn.Dropout(options.dropout)
        self.blocks = nn.ModuleList(SelfBlock(options) for _ in range(options.encoder_layers))

    def forward(self, sequences: Sequences) -> Tensor:
        x: Tensor = self.norm(self.project(sequences.values))
        x = self.dropout(x + positions(x.shape[1], x.shape[2], x))
        for block in self.blocks:
            x = block(x, sequences.mask)
        return x


class CrossModal(nn.Module):
    """What a sequence of text finds in another modality; (B, Lt, w).

    The text asks and is not added to what it finds, so that the result says nothing but what the other modality does:
    with the usual residual of the query, a weight of vision could not be distinguished from a weight of text.
    """

    def __init__(self, options: SentimentModelOptions) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(CrossBlock(options) for _ in range(options.cross_layers))

    def forward(self, text: Tensor, source: Tensor, source_mask: Tensor) -> Tensor:
        reading = torch.zeros_like(text)
        for block in self.blocks:
            reading = block(text, reading, source, source_mask)
        return reading


class CrossBlock(nn.Module):
    """One reading: the text, and what was found before, ask again; the finding is added to the earlier one."""

    def __init__(self, options: SentimentModelOptions) -> None:
        super().__init__()
        self.norm_text = nn.LayerNorm(options.width)
        self.norm_source = nn.LayerNorm(options.width)
        self.attention = Attention(options.width, options.num_heads, options.dropout)
        self.feed_forward = FeedForward(options.width, options.dropout)

    def forward(self, text: Tensor, reading: Tensor, source: Tensor, mask: Tensor) -> Tensor:
        reading = reading + self.attention(self.norm_text(text + reading), self.norm_source(source), mask)
        return reading + self.feed_forward(reading)  # type: ignore[no-any-return]


def positions(length: int, width: int, like: Tensor) -> Tensor:
    """(L, w) sines of half the channels, cosines of the rest; wavelengths from 2π to 10,000·2π."""
    half = width // 2
    rates = 10_000.0 ** (-torch.arange(half, device=like.device, dtype=torch.float32) / max(1, half))
    angles = torch.arange(length, device=like.device, dtype=torch.float32)[:, None] * rates
    encoding = torch.zeros(length, width, device=like.device)
    encoding[:, :half], encoding[:, half : 2 * half] = torch.sin(angles), torch.cos(angles)
    return encoding.to(like.dtype)
