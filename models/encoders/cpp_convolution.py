"""The edge-gated convolution with everything between its matrix products in one compiled pass over the edges.

The same formula as models.encoders.convolution with LayerNorm, in float32 on a CPU (kernels/convolution.cpp). A pass
reads and writes each edge once, where separate operations of torch do so a dozen times; and it keeps one row of every
edge, m, for the way back. Where no library is in use, `applies` is False and torch computes the convolution.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.batch import Distinct, Edges
from models.encoders.norm import LayerNorm
from models.encoders.segment import sum_rows

if TYPE_CHECKING:
    from models.encoders.convolution import EdgeGatedConvolution

SOURCE = Path(__file__).parent / "kernels" / "convolution.cpp"
GATE_EPSILON = 1e-6
_COUNT, _REAL, _TABLE = ctypes.c_int64, ctypes.c_float, ctypes.c_void_p
_FORWARD: list[Any] = [ctypes.c_int, _COUNT, _COUNT, *[_TABLE] * 11, _REAL, _REAL, *[_TABLE] * 5]
_BACKWARD: list[Any] = [ctypes.c_int, _COUNT, _COUNT, *[_TABLE] * 9, _REAL, *[_TABLE] * 10]

_library: ctypes.CDLL | None = None


def use(library: Path | None) -> None:
    """Compute with this build of `SOURCE` from now on, in the whole process; None: with torch.

    Raises OSError where the file is no library that this machine can load.
    """
    global _library
    if library is None:
        _library = None
        return
    loaded = ctypes.CDLL(str(library))
    loaded.forward.argtypes, loaded.forward.restype = _FORWARD, None
    loaded.backward.argtypes, loaded.backward.restype = _BACKWARD, None
    _library = loaded


def applies(convolution: EdgeGatedConvolution, nodes: Tensor, features: Tensor) -> bool:
    """Whether the compiled pass can compute this convolution."""
    return (
        _library is not None
        and isinstance(convolution.norm_nodes, LayerNorm)
        and isinstance(convolution.dropout, nn.Identity)
        and all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in (nodes, features))
        and convolution.edge.weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def convolve(
    convolution: EdgeGatedConvolution,
    edges: Edges,
    nodes: Tensor,
    features: Tensor,
    distinct: Distinct | None,
    update_edges: bool,
) -> tuple[Tensor, Tensor | None]:
    """New nodes (n, d), and new edges (M, d) or None, as `EdgeGatedConvolution.forward`."""
    parameters = [
        part for layer in (convolution.start, convolution.end, convolution.edge) for part in (layer.weight, layer.bias)
    ]
    norms = [part for norm in (convolution.norm_edges, convolution.norm_nodes) for part in (norm.weight, norm.bias)]
    result: tuple[Tensor, Tensor | None] = _Convolution.apply(  # type: ignore[no-untyped-call]
        edges, distinct, update_edges, convolution.norm_nodes.eps, nodes, features, *parameters, *norms
    )
    return result


class _Convolution(torch.autograd.Function):
    """A whole convolution; its gradient recomputes from m whatever is cheap."""

    @staticmethod
    def forward(
        ctx: Any, edges: Edges, distinct: Distinct | None, update_edges: bool, epsilon: float,
        nodes: Tensor, features: Tensor, start: Tensor, start_bias: Tensor, end: Tensor, end_bias: Tensor,
        edge: Tensor, edge_bias: Tensor, *norms: Tensor,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        assert _library is not None
        nodes, features = nodes.contiguous(), features.contiguous()
        starts, ends = F.linear(nodes, start, start_bias), F.linear(nodes, end, end_bias)  # (n, 2d)
        given = F.linear(features, edge, edge_bias)  # C·e, of each edge or of each distinct value
        count, (size, width) = edges.src.shape[0], nodes.shape
        gates = given if distinct is None else given.new_empty(count, width)
        new_edges = nodes.new_empty(count, width) if update_edges else None
        new_nodes, means, shares = (torch.empty_like(nodes) for _ in range(3))
        edge_norm, node_norm = torch.stack(norms[:2]), torch.stack(norms[2:])
        weight = None if edges.weight is None else edges.weight.float()
        _library.forward(
            torch.get_num_threads(), size, width, *map(_pointer, (
                edges.offsets, edges.src, weight, None if distinct is None else distinct.index,
                starts, ends, given, features, nodes, edge_norm, node_norm,
            )), epsilon, GATE_EPSILON, *map(_pointer, (gates, new_edges, new_nodes, means, shares)),
        )  # fmt: skip
        ctx.edges, ctx.distinct, ctx.epsilon = edges, distinct, epsilon
        ctx.save_for_backward(
            nodes, features, start, end, edge, edge_norm, node_norm, starts, ends, gates, means, shares, weight
        )
        ctx.set_materialize_grads(False)
        return new_nodes, new_edges

    @staticmethod
    def backward(ctx: Any, d_new_nodes: Tensor | None, d_new_edges: Tensor | None) -> tuple[Tensor | None, ...]:
        nodes, features, start, end, edge, *rest = ctx.saved_tensors
        edge_norm, node_norm, starts, ends, gates, means, shares, weight = rest
        edges, distinct = ctx.edges, ctx.distinct
        d_new_nodes = torch.zeros_like(nodes) if d_new_nodes is None else d_new_nodes.contiguous()
        d_new_edges = None if d_new_edges is None else d_new_edges.contiguous()
        d_starts, d_ends, d_gates = (torch.empty_like(table) for table in (starts, ends, gates))
        d_edge_norm, d_node_norm = torch.empty_like(edge_norm), torch.empty_like(node_norm)
        assert _library is not None
        _library.backward(
            torch.get_num_threads(), *nodes.shape, *map(_pointer, (
                edges.offsets, edges.dst, edges.by_src, edges.src_offsets, weight,
                starts, ends, edge_norm, node_norm,
            )), ctx.epsilon, *map(_pointer, (
                gates, means, shares, d_new_nodes, d_new_edges, d_starts, d_ends, d_gates, d_edge_norm, d_node_norm,
            )),
        )  # fmt: skip
        d_nodes = torch.addmm(d_new_nodes, d_starts, start).addmm_(d_ends, end)
        d_edge_bias = d_ends[:, : nodes.shape[1]].sum(0)  # every edge has one end
        if distinct is not None:
            d_gates = sum_rows(d_gates, distinct.by_value, distinct.value_offsets)
            d_new_edges = None if d_new_edges is None else sum_rows(
                d_new_edges, distinct.by_value, distinct.value_offsets
            )  # fmt: skip
        d_features = d_gates @ edge if d_new_edges is None else torch.addmm(d_new_edges, d_gates, edge)
        d_edge_norms = (None, None) if d_new_edges is None else d_edge_norm
        return (
            None, None, None, None, d_nodes, d_features,
            d_starts.t() @ nodes, d_starts.sum(0), d_ends.t() @ nodes, d_ends.sum(0),
            d_gates.t() @ features, d_edge_bias, *d_edge_norms, *d_node_norm,
        )  # fmt: skip


def _pointer(table: Tensor | None) -> int | None:
    """Address of a contiguous table; null for None."""
    if table is None:
        return None
    assert table.is_contiguous()
    return table.data_ptr()
