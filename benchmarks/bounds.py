"""What bounds a training step: its matrix products and its memory traffic against what this machine can do.

    python -m benchmarks.bounds [--batch 32] [--rounds 5] [--threads 2]

The step of benchmarks.steps (ALIGNN 4 + 4, hidden 256, quotients of mp6k, forward, backward, AdamW), with torch's
operations and with the compiled pass. Operations are counted as PyTorch dispatches them: multiplications and additions
of matrix products, bytes that any other operation but a view reads and writes. The ceilings are the same machine's:
a product of matrices of the step's shape, a copy of a tensor far larger than the caches. `bound` is the sum of both
times at these ceilings: the step cannot be faster without fewer operations or fused ones.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.improved_step import WIDTH, batch, step
from benchmarks.timing import alternate, machine
from jobs.tasks.crystal.compiled_kernel import use_kernels
from models.crystal_model import CrystalModel
from models.encoders import cpp_convolution
from models.encoders.convolution import EdgeGatedConvolution
from models.fusion.registry import LATE, MIDDLE
from models.options import AlignnOptions
from runner.rundir.cache_root import cache_root

COPIED = 64 << 20  # float32 numbers: 256 MiB
SHOWN = 8  # operations
PLAIN, FUSED = "step_bound", "step_fused_bound"
PRODUCTS = (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.addmm_)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--batch", type=int, default=32)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--hidden", type=int, default=256)
    chosen = arguments.parse_args()
    torch.set_num_threads(chosen.threads)
    print(json.dumps({"machine": machine(), "results": results(chosen)}, indent=1))


def results(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Of a step with torch's operations, and of one with the compiled pass."""
    use_kernels(cache_root(), lambda said: print(said, file=sys.stderr))
    graphs, texts = batch(chosen.batch)
    takes = {name: step(net(chosen.hidden, name == FUSED), graphs, texts) for name in (PLAIN, FUSED)}
    rows = int(graphs.pairs.src.shape[0])
    left, right = torch.randn(rows, chosen.hidden), torch.randn(chosen.hidden, chosen.hidden)
    source, target = torch.zeros(COPIED), torch.empty(COPIED)
    ceilings: dict[str, Callable[[], object]] = {
        "product": lambda: left @ right,
        "copy": lambda: target.copy_(source),
    }
    seconds = alternate({**takes, **ceilings}, chosen.rounds)
    flops = 2 * rows * chosen.hidden**2 / seconds["product"]  # per second
    bandwidth = 2 * source.nbytes / seconds["copy"]  # bytes per second
    found = []
    for name, take in takes.items():
        products, moved = counted(take)
        bound = products / flops + moved / bandwidth
        found.append({
            "name": name, "ratio": seconds[name] / bound, "ours": seconds[name], "bound": bound, "unit": "s",
            "products_seconds": products / flops, "memory_seconds": moved / bandwidth,
            "flop": products, "bytes": moved, "flop_per_second": flops, "bytes_per_second": bandwidth,
            "batch": chosen.batch, "operations": shares(take),
        })  # fmt: skip
    return found


def net(hidden: int, is_fused: bool) -> CrystalModel:
    none = (
        MIDDLE["none"].options.model_validate({"name": "none"}),
        LATE["none"].options.model_validate({"name": "none"}),
    )
    torch.manual_seed(0)
    made = CrystalModel(AlignnOptions(hidden=hidden), *none, text_dim=WIDTH).train()
    for module in made.modules():
        if isinstance(module, EdgeGatedConvolution):
            module.may_be_fused = is_fused
    return made


class Traffic(TorchDispatchMode):
    """Sums the bytes of the tensors that operations take and give; views move nothing.

    Matrix products are left out, since their ceiling was measured with what they move.
    """

    def __init__(self) -> None:
        super().__init__()
        self.moved = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if not func.is_view and func.overloadpacket not in PRODUCTS:
            for leaf in tree_leaves((args, kwargs, found)):
                self.moved += leaf.nbytes if isinstance(leaf, Tensor) else 0
        return found


def counted(take: Callable[[], object]) -> tuple[int, int]:
    """Floating-point operations of the matrix products of one step; bytes that its other operations move.

    Of the compiled pass each table counts once, however often a row of it is gathered.
    """
    with FlopCounterMode(display=False) as products:
        take()
    tables = 0
    address = cpp_convolution._pointer

    def seen(table: Tensor | None) -> int | None:
        nonlocal tables
        tables += 0 if table is None else table.nbytes
        return address(table)

    with Traffic() as traffic, patch.object(cpp_convolution, "_pointer", seen):
        take()
    return products.get_total_flops(), traffic.moved + tables


def shares(take: Callable[[], object]) -> dict[str, float]:
    """The operations that take most of a step's own processor time, with their shares of it."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        take()
    events = sorted(profile.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    return {event.key: round(event.self_cpu_time_total / total, 4) for event in events[:SHOWN]}


if __name__ == "__main__":
    main()
