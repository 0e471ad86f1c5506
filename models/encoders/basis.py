"""Scalars as smooth one-hot vectors: Gaussians on a grid."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class GaussianBasis(nn.Module):
    """(M,) scalars → (M, bins): exp(−γ (x − c)²), centres c evenly on [low, high].

    γ is 1/spacing, and not 1/spacing², as in the alignn package, whose pretrained weights depend on it.
    """

    centers: Tensor

    def __init__(self, low: float, high: float, bins: int) -> None:
        super().__init__()
        centers = torch.linspace(low, high, bins)
        self.gamma = 1.0 / float(np.diff(centers.numpy()).mean())  # rounded to float32 as in the package
        self.register_buffer("centers", centers, persistent=False)

    def forward(self, value: Tensor) -> Tensor:
        return torch.exp(-self.gamma * (value.unsqueeze(1) - self.centers) ** 2)
