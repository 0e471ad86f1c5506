"""What bounds a training step: its matrix products and its memory traffic against what this machine can do.

    python -m benchmarks.bounds [--batch 32] [--rounds 5] [--threads 2]

The step of benchmarks.steps (ALIGNN 4 + 4, hidden 256, quotients of mp6k, forward, backward, AdamW), without compiling.
Its operations are counted as PyTorch dispatches them: multiplications and additions of matrix products, bytes that any
operation but a view reads and writes. The ceilings are the same machine's best: a product of matrices of the step's
shape, a copy of a tensor far larger than the caches. `bound` is the sum of both times at these ceilings: the step
cannot be faster without fewer operations or fused ones.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.improved_step import WIDTH, batch, step
from benchmarks.timing import alternate, machine
from models.crystal_model import CrystalModel
from models.fusion.registry import LATE, MIDDLE
from models.options import AlignnOptions

COPIED = 64 << 20  # float32 numbers: 256 MiB
SHOWN = 8  # operations


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
    graphs, texts = batch(chosen.batch)
    none = (
        MIDDLE["none"].options.model_validate({"name": "none"}),
        LATE["none"].options.model_validate({"name": "none"}),
    )
    torch.manual_seed(0)
    take = step(CrystalModel(AlignnOptions(hidden=chosen.hidden), *none, text_dim=WIDTH).train(), graphs, texts)
    rows = int(graphs.pairs.src.shape[0])
    left, right = torch.randn(rows, chosen.hidden), torch.randn(chosen.hidden, chosen.hidden)
    source, target = torch.zeros(COPIED), torch.empty(COPIED)
    steps: dict[str, Callable[[], object]] = {
        "step": take,
        "product": lambda: left @ right,
        "copy": lambda: target.copy_(source),
    }
    seconds = alternate(steps, chosen.rounds)
    products, moved = counted(take)
    flops = 2 * rows * chosen.hidden**2 / seconds["product"]  # per second
    bandwidth = 2 * source.nbytes / seconds["copy"]  # bytes per second
    bound = products / flops + moved / bandwidth
    return [
        {
            "name": "step_bound", "ratio": seconds["step"] / bound, "ours": seconds["step"], "bound": bound,
            "unit": "s",
            "products_seconds": products / flops, "memory_seconds": moved / bandwidth,
            "flop": products, "bytes": moved, "flop_per_second": flops, "bytes_per_second": bandwidth,
            "batch": chosen.batch, "operations": shares(take),
        }
    ]  # fmt: skip


class Traffic(TorchDispatchMode):
    """Sums the bytes of the tensors that operations take and give; views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.moved = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if not func.is_view:
            for leaf in tree_leaves((args, kwargs, found)):
                self.moved += leaf.nbytes if isinstance(leaf, Tensor) else 0
        return found


def counted(take: Callable[[], object]) -> tuple[int, int]:
    """Floating-point operations of the matrix products of one step; bytes that all its operations move."""
    with FlopCounterMode(display=False) as products:
        take()
    with Traffic() as traffic:
        take()
    return products.get_total_flops(), traffic.moved


def shares(take: Callable[[], object]) -> dict[str, float]:
    """The operations that take most of a step's own processor time, with their shares of it."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        take()
    events = sorted(profile.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    return {event.key: round(event.self_cpu_time_total / total, 4) for event in events[:SHOWN]}


if __name__ == "__main__":
    main()
