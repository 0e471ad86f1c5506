"""How far a text can be trusted, as the gated cross-modal fusions see it: q in (0, 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LENGTH = 3.0  # of t, at which the length alone gives 1/2


class TextQuality(nn.Module):
    """(B, joint) → (B, 1): q = σ(MLP(t)) · σ(‖t‖ − 3).

    With `learnable` q = c·σ(MLP(t)) + (1 − c)·σ(‖t‖ − θ), c = σ(s), s and θ learnable, starting at 0.3 and 3.
    """

    def __init__(self, joint: int, learnable: bool) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(joint, 2 * joint), nn.ReLU(), nn.Linear(2 * joint, joint), nn.ReLU(), nn.Linear(joint, 1)
        )
        self.mixture = nn.Parameter(torch.tensor(0.3)) if learnable else None
        self.threshold = nn.Parameter(torch.tensor(LENGTH)) if learnable else LENGTH

    def forward(self, text_vector: Tensor) -> Tensor:
        network = torch.sigmoid(self.network(text_vector))
        length = torch.sigmoid(torch.linalg.vector_norm(text_vector, dim=1, keepdim=True) - self.threshold)
        if self.mixture is None:
            return network * length
        share = torch.sigmoid(self.mixture)
        return share * network + (1 - share) * length
