"""The edge-gated graph convolution of ALIGNN, on graphs whose nodes and edges may stand for several equal ones.

    m  = A·h_start + B·h_end + C·e
    h' = h + SiLU(Norm(U·h + Σ σ(m) ⊙ V·h_start / (Σ σ(m) + 1e-6)))     sums over the edges that end at the node
    e' = e + SiLU(Norm(m))

Choudhary & DeCost, npj Comput. Mater. 7, 185 (2021), after Bresson & Laurent, arXiv:1711.07553.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.batch import Distinct, Edges
from models.norm import make_norm
from models.segment import at_end, at_start, of_each, sum_at_end

GATE_EPSILON = 1e-6


class EdgeGatedConvolution(nn.Module):
    """Nodes (n, d) and edges (M, d) to new nodes and edges of the same width."""

    def __init__(self, width: int, norm: str) -> None:
        super().__init__()
        # each one matrix product: what is read at an edge's start (A, V) and at its end (B, U)
        self.start = nn.Linear(width, 2 * width)
        self.end = nn.Linear(width, 2 * width)
        self.edge = nn.Linear(width, width)  # C
        self.norm_edges = make_norm(norm, width)
        self.norm_nodes = make_norm(norm, width)

    def forward(
        self,
        edges: Edges,
        nodes: Tensor,
        features: Tensor,
        node_count: Tensor | None = None,
        edge_count: Tensor | None = None,
        *,
        distinct: Distinct | None = None,
        update_edges: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        """`features` are those of the edges (M, d), or, with `distinct`, of the distinct values (K, d).

        Without `update_edges` the second result is None: the last convolution's edges are read by nobody.
        `node_count` (n,) and `edge_count` (M,): how many each stands for, read by BatchNorm alone.
        """
        gate, value, update = self._messages(edges, nodes, features, distinct)
        weighted = torch.sigmoid(gate)
        if edges.weight is not None:
            weighted = weighted * edges.weight.to(weighted.dtype).unsqueeze(1)
        mean = sum_at_end(weighted * value, edges) / (sum_at_end(weighted, edges) + GATE_EPSILON)
        new_nodes = nodes + F.silu(self.norm_nodes(update + mean, node_count))
        if not update_edges:
            return new_nodes, None
        old = features if distinct is None else of_each(features, distinct)
        return new_nodes, old + F.silu(self.norm_edges(gate, edge_count))

    def _messages(
        self, edges: Edges, nodes: Tensor, features: Tensor, distinct: Distinct | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The gate m and V·h_start of each edge (M, d), and U·h of each node (n, d)."""
        width = nodes.shape[1]
        gate_and_value = at_start(self.start(nodes), edges)
        end_gate, update = self.end(nodes).split(width, dim=1)
        edge_gate = self.edge(features)
        if distinct is not None:
            edge_gate = of_each(edge_gate, distinct)
        gate = gate_and_value[:, :width] + at_end(end_gate, edges) + edge_gate
        return gate, gate_and_value[:, width:], update
