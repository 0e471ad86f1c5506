"""Sums over CSR segments and gathers: values and gradients."""

from __future__ import annotations

import pytest
import torch

from models.batch import Distinct, Edges
from models.encoders.segment import at_end, at_start, gather, of_each, segment_sum, sum_at_end, weighted_mean


def edges() -> Edges:
    """Five edges among four nodes; no edge ends at node 1, none starts at node 3."""
    src, dst = torch.tensor([1, 2, 0, 2, 1]), torch.tensor([0, 0, 2, 3, 3])
    by_src = torch.argsort(src, stable=True)
    return Edges(src, dst, torch.tensor([0, 2, 2, 3, 5]), by_src, torch.tensor([0, 1, 3, 5, 5]))


def test_sum_at_end_adds_the_edges_of_each_node() -> None:
    rows = torch.randn(5, 3)
    expected = torch.stack([rows[0] + rows[1], torch.zeros(3), rows[2], rows[3] + rows[4]])
    torch.testing.assert_close(sum_at_end(rows, edges()), expected)


def test_gathers_read_start_and_end_nodes() -> None:
    nodes = torch.randn(4, 3)
    assert torch.equal(at_start(nodes, edges()), nodes[edges().src])
    assert torch.equal(at_end(nodes, edges()), nodes[edges().dst])


@pytest.mark.parametrize("operation", [at_start, at_end, sum_at_end])
def test_gradients_are_right_to_the_second_order(operation) -> None:
    rows = torch.randn(5 if operation is sum_at_end else 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: operation(x, edges()), rows)
    assert torch.autograd.gradgradcheck(lambda x: operation(x, edges()) ** 2, rows)


def test_distinct_values_gradient_adds_over_their_edges() -> None:
    index = torch.tensor([1, 0, 1, 1])
    distinct = Distinct(torch.zeros(2), index, torch.argsort(index, stable=True), torch.tensor([0, 1, 4]))
    rows = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: of_each(x, distinct), rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dtype_is_kept_and_bfloat16_adds_in_float32(dtype: torch.dtype) -> None:
    rows = torch.ones(1000, 2, dtype=dtype)
    index, offsets = torch.zeros(1000, dtype=torch.int64), torch.tensor([0, 1000])
    total = segment_sum(rows, index, offsets)
    assert total.dtype == dtype
    assert total.tolist() == [[1000.0, 1000.0]]  # adding ones in bfloat16 would stop at 256


def test_vectors_and_empty_tables_pass() -> None:
    assert segment_sum(torch.tensor([1.0, 2.0]), torch.tensor([0, 0]), torch.tensor([0, 2])).tolist() == [3.0]
    none = torch.zeros(0, dtype=torch.int64)
    rows = torch.zeros(0, 4, requires_grad=True)
    total = segment_sum(rows, none, torch.tensor([0, 0, 0]))
    assert total.shape == (2, 4)
    total.sum().backward()
    assert gather(torch.zeros(2, 4), none, torch.tensor([0, 0, 0])).shape == (0, 4)


def test_weighted_mean_counts_rows_as_often_as_they_stand() -> None:
    rows = torch.tensor([[1.0], [4.0], [5.0]])
    index, offsets = torch.tensor([0, 0, 1]), torch.tensor([0, 2, 3])
    assert weighted_mean(rows, torch.tensor([3.0, 1.0, 7.0]), index, offsets).tolist() == [[1.75], [5.0]]
    assert weighted_mean(rows, None, index, offsets).tolist() == [[2.5], [5.0]]
