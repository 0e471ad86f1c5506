"""The normalisations of ALIGNN: LayerNorm (2.0) and BatchNorm (2021), the latter with multiplicities."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LayerNorm(nn.LayerNorm):
    """LayerNorm that accepts how many equal rows each row stands for: they do not change it."""

    def forward(self, rows: Tensor, multiplicity: Tensor | None = None) -> Tensor:
        return super().forward(rows)


class BatchNorm(nn.BatchNorm1d):
    """BatchNorm over (M, d) rows, each of which counts `multiplicity` (M,) times in mean and variance.

    So the statistics of a quotient batch are those of the crystals it stands for. A batch without rows (a lone atom
    has no bonds) passes and leaves the running statistics alone.
    """

    def forward(self, rows: Tensor, multiplicity: Tensor | None = None) -> Tensor:
        if not self.training or rows.shape[0] == 0:
            return self._normalise(rows, self.running_mean, self.running_var)
        weight = torch.ones_like(rows[:, 0]) if multiplicity is None else multiplicity.to(rows.dtype)
        count = weight.sum()
        share = (weight / count).unsqueeze(1)
        mean = (rows * share).sum(0)
        variance = ((rows - mean) ** 2 * share).sum(0)
        self._remember(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        return self._normalise(rows, mean, variance)

    def _normalise(self, rows: Tensor, mean: Tensor | None, variance: Tensor | None) -> Tensor:
        assert mean is not None
        assert variance is not None
        return (rows - mean) * torch.rsqrt(variance + self.eps) * self.weight + self.bias

    @torch.no_grad()
    def _remember(self, mean: Tensor, unbiased_variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(unbiased_variance.to(self.running_var.dtype), self.momentum)


def make_norm(kind: str, width: int) -> LayerNorm | BatchNorm:
    """`kind` is "layer" or "batch"."""
    return LayerNorm(width) if kind == "layer" else BatchNorm(width)


class NormedLayer(nn.Module):
    """Linear, norm, SiLU: the layer that ALIGNN's embeddings are made of."""

    def __init__(self, width_in: int, width_out: int, norm: str) -> None:
        super().__init__()
        self.linear = nn.Linear(width_in, width_out)
        self.norm = make_norm(norm, width_out)

    def forward(self, rows: Tensor, multiplicity: Tensor | None = None) -> Tensor:
        return F.silu(self.norm(self.linear(rows), multiplicity))
