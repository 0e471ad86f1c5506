"""The text vector of a crystal as a middle fusion adds it to atoms: u = W₂·Dropout(φ(W₁·t))."""

from __future__ import annotations

from torch import Tensor, nn

from models.fusion.interface import Widths
from models.options import MiddleOptions


class TextProjection(nn.Module):
    """(B, joint) → (B, node). Dropout is drawn once per crystal: its atoms read the same text."""

    def __init__(self, options: MiddleOptions, widths: Widths, activation: nn.Module) -> None:
        super().__init__()
        self.first = nn.Linear(widths.joint, options.hidden_dim)
        self.activation = activation
        self.dropout = nn.Dropout(options.dropout)
        self.second = nn.Linear(options.hidden_dim, widths.node)

    def forward(self, text_vector: Tensor) -> Tensor:
        return self.second(self.dropout(self.activation(self.first(text_vector))))  # type: ignore[no-any-return]
