"""What the sentiment model is given: padded sequences of a modality, and where they hold something."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from models.batch import Movable


@dataclass(frozen=True)
class Sequences(Movable):
    """B sequences of one modality, padded to one length."""

    values: Tensor  # (B, L, d) features; what stands where the mask is False has no effect
    mask: Tensor  # (B, L) bool; True: a position of the sequence; at least one in each


@dataclass(frozen=True)
class Utterances(Movable):
    """B utterances: what was said, seen and heard."""

    text: Sequences
    vision: Sequences
    audio: Sequences


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """(B, L, d) → (B, d) mean over the positions where `mask` (B, L) is True."""
    weights = mask.unsqueeze(2).to(values.dtype)
    return (values * weights).sum(1) / weights.sum(1)
