"""Optimiser and learning-rate schedule."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

WARMUP_STEPS = 2000
WARMUP_SHARE = 0.3  # of all steps, at most
PLATEAU_FACTOR, PLATEAU_EPOCHS = 0.5, 5  # by how much `plateau` lowers the rate, and after how many epochs without gain


def optimiser_for(model: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW without decay on biases, norms and single numbers (everything that has fewer than two dimensions)."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)  # one kernel for all parameters


def warmup_steps(wanted: int | None, total: int) -> int:
    """Steps of a linear warm-up: `wanted`, else 2,000, at most 30 % of all; ValueError for more than half of them."""
    if wanted is None:
        return min(WARMUP_STEPS, int(WARMUP_SHARE * total))
    if wanted > total / 2:
        raise ValueError(
            f"warmup_steps {wanted} is more than half of the run's {total} steps; allowed: 0 to {total // 2}"
        )
    return wanted


class Plateau(ReduceLROnPlateau):
    """Lowers the learning rate after epochs without a better validation metric; batches leave it alone."""

    def step(self, metrics: object = None, epoch: int | None = None) -> None:  # type: ignore[override]
        """Nothing: a batch has no validation metric."""

    def end_epoch(self, metric: float) -> None:
        super().step(metric)


def schedule_for(
    optimiser: torch.optim.Optimizer,
    kind: Literal["onecycle", "linear_warmup", "constant", "plateau", "warmup_stable_decay"],
    total: int,
    *,
    pct_start: float = 0.3,
    warmup: int | None = None,
    mode: str = "min",
    decay: float = 0.2,
) -> LRScheduler:
    """The learning rate of each of `total` steps; stepped after every batch.

    onecycle: Smith & Topin, arXiv:1708.07120, in torch's form; linear_warmup: rises linearly, then stays; plateau: see
    there, `mode` says which metric is better; warmup_stable_decay: as linear_warmup, then falls linearly to zero in its
    last part (Hägele et al., arXiv:2405.18392).
    """
    if kind == "plateau":
        return Plateau(optimiser, "min" if mode == "min" else "max", factor=PLATEAU_FACTOR, patience=PLATEAU_EPOCHS)
    if kind == "onecycle":
        return OneCycleLR(optimiser, max_lr=optimiser.param_groups[0]["lr"], total_steps=total, pct_start=pct_start)
    rise = 0 if kind == "constant" else warmup_steps(warmup, total)
    end, fall = (total, decay_steps(total, decay)) if kind == "warmup_stable_decay" else (math.inf, 1)
    return LambdaLR(optimiser, lambda step: min(1.0, (step + 1) / (rise + 1), (end - step) / fall))


def decay_steps(total: int, decay: float) -> int:
    """How many of `total` steps are in the part `decay` at the end; at least one."""
    return max(1, round(total * decay))
