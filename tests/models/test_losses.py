"""Losses against their definitions."""

from __future__ import annotations

import math

import pytest
import torch

from models.losses import LOSSES, info_nce


def vectors(seed: int, count: int = 6) -> torch.Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def written_out(g: torch.Tensor, t: torch.Tensor, temperature: float) -> float:
    """Both cross entropies, term by term."""
    total, count = 0.0, len(g)
    for i in range(count):
        cosine = [[float(torch.dot(a, b) / (a.norm() * b.norm())) / temperature for b in t] for a in g]
        along_texts = sum(math.exp(cosine[i][j]) for j in range(count))
        along_graphs = sum(math.exp(cosine[j][i]) for j in range(count))
        total -= math.log(math.exp(cosine[i][i]) / along_texts) + math.log(math.exp(cosine[i][i]) / along_graphs)
    return total / (2 * count)


def test_info_nce_is_its_definition_and_symmetric() -> None:
    g, t = vectors(0), vectors(1)
    assert info_nce(g, t, 0.1).item() == pytest.approx(written_out(g, t, 0.1))
    assert info_nce(t, g, 0.1).item() == pytest.approx(info_nce(g, t, 0.1).item())


def test_info_nce_leaves_out_crystals_without_text() -> None:
    g, t = vectors(0).requires_grad_(), vectors(1).requires_grad_()
    present = torch.tensor([True, False, True, True, False, True])
    loss = info_nce(g, t, 0.1, present)
    assert loss.item() == pytest.approx(written_out(g.detach()[present], t.detach()[present], 0.1))
    loss.backward()
    for gradient in (g.grad, t.grad):
        assert torch.isfinite(gradient).all()
        assert not gradient[~present].any()


def test_info_nce_is_zero_without_anything_to_tell_apart() -> None:
    g, t = vectors(0, 1).requires_grad_(), vectors(1, 1)
    assert info_nce(g, t, 0.1).item() == 0.0
    nobody = info_nce(vectors(0).requires_grad_(), vectors(1), 0.1, torch.zeros(6, dtype=torch.bool))
    nobody.backward()
    assert nobody.item() == 0.0


def test_info_nce_is_smallest_for_matching_pairs() -> None:
    g = torch.eye(4)
    assert info_nce(g, g, 0.1) < info_nce(g, g.roll(1, 0), 0.1)


def test_l1_and_mse_are_means_over_crystals() -> None:
    prediction, target = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 5.0])
    assert LOSSES["l1"](prediction, target).item() == 1.5
    assert LOSSES["mse"](prediction, target).item() == 4.5
