"""Sums over the edges of a node, and gathers whose gradient is such a sum.

Edges are stored by their end node, so that both are one pass over CSR offsets and neither needs atomic additions:
`torch.nn.functional.embedding_bag` adds the rows of a segment in their order, on a CPU and on a GPU, which makes
results the same in every run. It adds bfloat16 rows in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.batch import Distinct, Edges


def sum_rows(rows: Tensor, order: Tensor | None, offsets: Tensor) -> Tensor:
    """Row i of the result: the sum of rows[order[offsets[i]:offsets[i+1]]]; no gradient."""
    if order is None:
        order = torch.arange(rows.shape[0], device=rows.device)
    if not rows.shape[0]:  # embedding_bag refuses an empty table
        return rows.new_zeros(offsets.shape[0] - 1, *rows.shape[1:])
    # detached: embedding_bag prepares for its own gradient when the table wants one, which is slower
    flat = rows.detach().reshape(rows.shape[0], -1)
    total = F.embedding_bag(order, flat, offsets, mode="sum", include_last_offset=True)
    return total.reshape(-1, *rows.shape[1:])


class _SegmentSum(torch.autograd.Function):
    """Its gradient is a gather."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor, order: Tensor | None, offsets: Tensor) -> Tensor:
        ctx.save_for_backward(index, order, offsets)
        return sum_rows(rows, order, offsets)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        index, order, offsets = ctx.saved_tensors
        return _Gather.apply(grad, index, order, offsets), None, None, None  # type: ignore[no-untyped-call]


class _Gather(torch.autograd.Function):
    """Its gradient is a segment sum."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor, order: Tensor | None, offsets: Tensor) -> Tensor:
        ctx.save_for_backward(index, order, offsets)
        return rows.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        index, order, offsets = ctx.saved_tensors
        return _SegmentSum.apply(grad, index, order, offsets), None, None, None  # type: ignore[no-untyped-call]


def segment_sum(rows: Tensor, index: Tensor, offsets: Tensor, order: Tensor | None = None) -> Tensor:
    """Sum of the rows that share an `index`.

    rows (M, …); index (M,); offsets (n+1,) of the rows sorted by index; order (M,) the permutation that sorts them,
    None when they are sorted already. Returns (n, …), zeros where a segment is empty.
    """
    return _SegmentSum.apply(rows, index, order, offsets)  # type: ignore[no-untyped-call,no-any-return]


def gather(rows: Tensor, index: Tensor, offsets: Tensor, order: Tensor | None = None) -> Tensor:
    """rows[index], with a gradient that adds in a fixed order; arguments as in `segment_sum`, rows (n, …)."""
    return _Gather.apply(rows, index, order, offsets)  # type: ignore[no-untyped-call,no-any-return]


def at_start(rows: Tensor, edges: Edges) -> Tensor:
    """(n, …) values of nodes → (M, …) the value of each edge's start node."""
    return gather(rows, edges.src, edges.src_offsets, edges.by_src)


def at_end(rows: Tensor, edges: Edges) -> Tensor:
    """(n, …) values of nodes → (M, …) the value of each edge's end node."""
    return gather(rows, edges.dst, edges.offsets)


def sum_at_end(rows: Tensor, edges: Edges) -> Tensor:
    """(M, …) values of edges → (n, …) their sum at each end node. Multiplicities are the caller's."""
    return segment_sum(rows, edges.dst, edges.offsets)


def of_each(rows: Tensor, distinct: Distinct) -> Tensor:
    """(K, …) values of the distinct scalars → (M, …) the value of each edge."""
    return gather(rows, distinct.index, distinct.value_offsets, distinct.by_value)


def weighted_mean(rows: Tensor, weight: Tensor | None, index: Tensor, offsets: Tensor) -> Tensor:
    """(N, d) rows sorted by `index` → (B, d) their mean in each segment, every row counted `weight` (N,) times."""
    if weight is None:
        return segment_sum(rows, index, offsets) / (offsets[1:] - offsets[:-1]).to(rows.dtype).unsqueeze(1)
    weight = weight.to(rows.dtype).unsqueeze(1)
    return segment_sum(rows * weight, index, offsets) / segment_sum(weight, index, offsets)
