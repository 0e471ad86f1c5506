"""What fusions report of themselves: weighted sums that stay on the device until somebody asks for the means.

`Records` collects over any number of batches without waiting for the device; `summary` waits once. An atom counts as
many times as the equal atoms it stands for.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LATE_LAYER = "late"  # the layer name of the late fusion; middle fusions are named by their ALIGNN layer: "1", "2", …
SMALLEST = 1e-12  # of a denominator: a text that is ignored altogether gives a huge ratio, not an infinity

BINS = 20  # of the histogram of a gate

RATIOS = {  # quantity → (numerator, denominator) among the means
    "ratio": ("graph_weight", "w_text"),  # graph_weight: all that multiplies h, residual included
    "contribution_ratio": ("graph_term_norm", "text_term_norm"),
    "norm_ratio": ("h_norm", "scaled_u_norm"),
    "relative_change": ("change_norm", "without_text_norm"),
}


class LayerRecord:
    """The sums of one layer, over atoms (N, …) with a weight (N,), or over crystals (B, …) without one."""

    def __init__(self) -> None:
        self._totals: dict[str, Tensor] = {}  # Σ weight·value, float64
        self._counts: dict[str, Tensor | float] = {}  # Σ weight
        self._lowest: dict[str, Tensor] = {}
        self._highest: dict[str, Tensor] = {}
        self._histogram: Tensor | float = 0.0  # (BINS,) Σ weight of the values of a gate in each bin

    @torch.no_grad()
    def mean(self, name: str, values: Tensor, weight: Tensor | None = None) -> None:
        """Collect the mean of `values`; dimensions beyond the first are averaged with equal weights."""
        rows = values.double().reshape(values.shape[0], -1).mean(1)
        total = rows.sum() if weight is None else rows @ weight.double()
        self._totals[name] = self._totals.get(name, 0.0) + total
        self._counts[name] = self._counts.get(name, 0.0) + (len(rows) if weight is None else weight.double().sum())

    @torch.no_grad()
    def value(self, name: str, scalar: Tensor) -> None:
        """Collect a scalar of the layer, averaged over the batches."""
        self.mean(name, scalar.reshape(1))

    @torch.no_grad()
    def norm(self, name: str, vectors: Tensor, weight: Tensor | None = None) -> None:
        """Collect the mean length of `vectors` (rows, d) per √d, so that widths can be compared."""
        self.mean(name, torch.linalg.vector_norm(vectors.float(), dim=-1) / vectors.shape[-1] ** 0.5, weight)

    @torch.no_grad()
    def gate(self, gate: Tensor, weight: Tensor | None = None) -> None:
        """Collect how a gate in (0, 1) spreads over the rows; of a gate per channel (rows, d), each row's mean."""
        rows = gate.double().reshape(gate.shape[0], -1).mean(1)
        self.mean("gate_mean", rows, weight)
        self.mean("gate_square", rows**2, weight)
        self.mean("gate_share_below_0.1", rows < 0.1, weight)
        self.mean("gate_share_above_0.9", rows > 0.9, weight)
        self.mean("gate_share_0.3_to_0.7", (rows >= 0.3) & (rows <= 0.7), weight)
        self._histogram = self._histogram + _histogram(gate, weight)
        lowest, highest = rows.min(), rows.max()
        self._lowest["gate_min"] = torch.minimum(self._lowest.get("gate_min", lowest), lowest)
        self._highest["gate_max"] = torch.maximum(self._highest.get("gate_max", highest), highest)

    @torch.no_grad()
    def mix(self, h: Tensor, u: Tensor, out: Tensor, without: Tensor, weight: Tensor | None = None) -> None:
        """Collect how atoms `h` and their scaled text `u` compare, and how far `out` is from `without`, all (N, d).

        `without`: what the fusion returns where its text term is zero; against `h` a LayerNorm alone would be a change.
        """
        self.norm("h_norm", h, weight)
        self.norm("scaled_u_norm", u, weight)
        self.norm("change_norm", out - without, weight)
        self.norm("without_text_norm", without, weight)
        self.mean("cosine", torch.cosine_similarity(h.float(), u.float(), dim=-1), weight)

    @torch.no_grad()
    def terms(self, graph_term: Tensor, text_term: Tensor, weight: Tensor | None = None) -> None:
        """Collect the lengths of the two terms (rows, d) of the sum that the fusion's formula makes."""
        self.norm("graph_term_norm", graph_term, weight)
        self.norm("text_term_norm", text_term, weight)

    @torch.no_grad()
    def text(self, text_vector: Tensor, projected: Tensor) -> None:
        """Collect the lengths of the text vectors (B, joint) that come in and of the projected ones (B, node)."""
        self.norm("t_norm", text_vector)
        self.norm("u_norm", projected)

    def _columns(self) -> dict[str, Tensor]:
        means = {name: total / self._counts[name] for name, total in self._totals.items()}
        return means | self._lowest | self._highest


def _histogram(gate: Tensor, weight: Tensor | None) -> Tensor:
    """(BINS,) float64: how many of the gate's values lie in each of BINS equal parts of 0 to 1.

    Counted by differences: a histogram with weights would make a GPU wait.
    """
    rows = gate.reshape(gate.shape[0], -1)
    below = torch.stack([(rows < edge / BINS).sum(1) for edge in range(1, BINS)]).double()  # (BINS - 1, rows)
    each = torch.ones_like(rows[:, 0], dtype=torch.float64) if weight is None else weight.double()
    ends = torch.cat([torch.zeros_like(each[:1]), below @ each, (each.sum() * rows.shape[1]).reshape(1)])
    return ends.diff()


class Records:
    """The records of every fused layer; `make` begins one."""

    def __init__(self, make: Callable[[], LayerRecord] = LayerRecord) -> None:
        self._make = make
        self._layers: dict[str, LayerRecord] = {}

    def layer(self, name: str) -> LayerRecord:
        """The record of layer `name`, begun when it is first asked for."""
        if name not in self._layers:
            self._layers[name] = self._make()
        return self._layers[name]

    @property
    def names(self) -> list[str]:
        """The layers, in the order in which they were begun."""
        return list(self._layers)

    def summary(self) -> dict[str, dict[str, float]]:
        """Layer → quantity → value. Quantities that a fusion does not have, and layers without any, are absent."""
        columns = {layer: values for layer, record in self._layers.items() if (values := record._columns())}
        scalars = [value for layer in columns.values() for value in layer.values()]
        if not scalars:
            return {}
        numbers = iter(torch.stack(scalars).tolist())  # the only wait
        return {layer: _derived({name: next(numbers) for name in values}) for layer, values in columns.items()}

    def histograms(self) -> dict[str, list[float]]:
        """Layer → how many values of its gate lie in each of BINS equal parts of 0 to 1; of gated layers alone."""
        counts = {
            name: record._histogram for name, record in self._layers.items() if isinstance(record._histogram, Tensor)
        }
        if not counts:
            return {}
        return dict(zip(counts, torch.stack(list(counts.values())).tolist(), strict=True))  # waits once


def _derived(means: dict[str, float]) -> dict[str, float]:
    """Add the ratios of means, and turn the mean square of a gate into its standard deviation."""
    for name, (above, below) in RATIOS.items():
        if above in means and below in means:
            means[name] = means[above] / max(means[below], SMALLEST)
    if "gate_square" in means:
        means["gate_std"] = max(means.pop("gate_square") - means["gate_mean"] ** 2, 0.0) ** 0.5
    return means
