"""Losses beside the main one: distillation from a teacher's features, contrast between modalities."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def cosine_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over a batch of 1 − cos(student, teacher), both (B, d); 0 for vectors of one direction, 2 at most."""
    return (1 - F.cosine_similarity(student, teacher, dim=1)).mean()


def kl_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over a batch of KL(softmax(teacher) ‖ softmax(student)), the softmax over the d features of (B, d).

    Features are no distribution, so the softmax makes one of them, as first published; 0 for features that are equal,
    or equal but for a constant.
    """
    return F.kl_div(F.log_softmax(student, 1), F.log_softmax(teacher, 1), reduction="batchmean", log_target=True)


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"cosine": cosine_distance, "kl": kl_distance}


def info_nce_to(query: Tensor, key: Tensor, temperature: float) -> Tensor:
    """InfoNCE in one direction: mean over i of −log softmax_j(cos(query_i, key_j)/temperature) at j = i; both (B, d).

    van den Oord et al., arXiv:1807.03748. Zero for a batch of one.
    """
    logits = F.normalize(query, dim=1) @ F.normalize(key, dim=1).T / temperature
    return F.cross_entropy(logits, torch.arange(len(query), device=query.device))
