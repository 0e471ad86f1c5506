"""The head that brings graph and text to the same small width."""

from __future__ import annotations

from torch import Tensor, nn


class ProjectionHead(nn.Module):
    """(B, width_in) → (B, width): p = Linear(x); LN(p + Dropout(Linear(GELU(p))))."""

    def __init__(self, width_in: int, width: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(width_in, width)
        self.second = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, vector: Tensor) -> Tensor:
        projected = self.first(vector)
        return self.norm(projected + self.dropout(self.second(nn.functional.gelu(projected))))  # type: ignore[no-any-return]
