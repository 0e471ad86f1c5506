"""What training makes small."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

LOSSES: dict[str, Callable[..., Tensor]] = {  # (prediction, target), both (B,) → mean over crystals
    "l1": F.l1_loss,
    "mse": F.mse_loss,
    "bce": F.binary_cross_entropy_with_logits,
}


def info_nce(graph_vectors: Tensor, text_vectors: Tensor, temperature: float, present: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE between graphs g and texts t of the same crystals, both (B, d).

    Mean of the cross entropies of cos(g_i, t_j)/temperature along both directions, i = j being the right pair
    (van den Oord et al., arXiv:1807.03748; symmetric as in CLIP, Radford et al. 2021). Crystals that are not `present`
    (B,) have no text of their own and take no part. Zero for fewer than two crystals.
    """
    logits = F.normalize(graph_vectors, dim=1) @ F.normalize(text_vectors, dim=1).T / temperature
    if present is None:
        present = torch.ones(len(graph_vectors), dtype=torch.bool, device=graph_vectors.device)
    # masked rather than picked: picking rows would make the device wait for their number
    logits = logits.masked_fill(~(present.unsqueeze(0) & present.unsqueeze(1)), -torch.inf)
    logits = logits.masked_fill(torch.diag(~present), 0.0)  # the right pair of an absent crystal: loss 0, no gradient
    right = torch.arange(len(graph_vectors), device=graph_vectors.device)
    both = F.cross_entropy(logits, right, reduction="none") + F.cross_entropy(logits.T, right, reduction="none")
    return both.sum() / (2 * present.sum().clamp(min=1))
