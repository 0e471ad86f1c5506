"""The edge-gated graph convolution of ALIGNN, on graphs whose nodes and edges may stand for several equal ones.

    m  = A·h_start + B·h_end + C·e
    h' = h + SiLU(Norm(U·h + Σ σ(m) ⊙ V·h_start / (Σ σ(m) + 1e-6)))     sums over the edges that end at the node
    e' = e + SiLU(Norm(m))

With dropout, SiLU(…) passes it before it is added.
Choudhary & DeCost, npj Comput. Mater. 7, 185 (2021), after Bresson & Laurent, arXiv:1711.07553.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.batch import Distinct, Edges
from models.encoders import cpp_convolution
from models.encoders.cpp_convolution import GATE_EPSILON
from models.encoders.norm import make_norm
from models.encoders.segment import at_end, at_start, of_each, sum_at_end


class EdgeGatedConvolution(nn.Module):
    """Nodes (n, d) and edges (M, d) to new nodes and edges of the same width."""

    may_be_fused = True  # by models.encoders.cpp_convolution, where it is in use

    def __init__(self, width: int, norm: str, dropout: float = 0.0) -> None:
        super().__init__()
        # each one matrix product: what is read at an edge's start (A, V) and at its end (B, U)
        self.start = nn.Linear(width, 2 * width)
        self.end = nn.Linear(width, 2 * width)
        self.edge = nn.Linear(width, width)  # C
        self.norm_edges = make_norm(norm, width)
        self.norm_nodes = make_norm(norm, width)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

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

        Without `update_edges` the second result is None: the last convolution's edges are not read.
        `node_count` (n,) and `edge_count` (M,): how many each stands for, read by BatchNorm alone.
        """
        if self.may_be_fused and cpp_convolution.applies(self, nodes, features):
            return cpp_convolution.convolve(self, edges, nodes, features, distinct, update_edges)
        gate, mean, update = self._pass_messages(edges, nodes, features, distinct)
        new_nodes = nodes + self.dropout(F.silu(self.norm_nodes(update + mean, node_count)))
        if not update_edges:
            return new_nodes, None
        old = features if distinct is None else of_each(features, distinct)
        return new_nodes, old + self.dropout(F.silu(self.norm_edges(gate, edge_count)))

    def _pass_messages(
        self, edges: Edges, nodes: Tensor, features: Tensor, distinct: Distinct | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """m of each edge (M, d); the gated mean of V·h_start and U·h of each node, both (n, d)."""
        width = nodes.shape[1]
        gate_and_value = at_start(self.start(nodes), edges)
        end_gate, update = self.end(nodes).split(width, dim=1)
        gate = gate_and_value[:, :width] + at_end(end_gate, edges) + self._edge_gate(features, distinct)
        open_share = self._open_share(gate, edges)
        sums = sum_at_end(open_share * gate_and_value[:, width:], edges)
        return gate, sums / (sum_at_end(open_share, edges) + GATE_EPSILON), update

    def _edge_gate(self, features: Tensor, distinct: Distinct | None) -> Tensor:
        """C·e of each edge (M, d)."""
        of_edges: Tensor = self.edge(features)
        return of_edges if distinct is None else of_each(of_edges, distinct)

    @staticmethod
    def _open_share(gate: Tensor, edges: Edges) -> Tensor:
        """σ(m), as many times as there are equal edges."""
        share = torch.sigmoid(gate)
        return share if edges.weight is None else share * edges.weight.to(share.dtype).unsqueeze(1)
