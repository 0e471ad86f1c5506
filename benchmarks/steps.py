"""A training step of ALIGNN: ours against the package alignn (pure torch, and its DGL path) on the same crystals.

    python -m benchmarks.steps [--batch 32] [--rounds 7] [--device cpu] [--dgl] [--compile] [--memory]

Identical crystals of mp6k with complete neighbour shells, the same hyper-parameters (4 + 4 layers, hidden 256), float32
(TF32 in both on a GPU), copied weights, AdamW with a learning rate of zero. `ours` is given the quotients of the
crystals, `ours, whole` the same graph as alignn; on a CPU both use the compiled convolutions, as a run does, and
`ours, torch` does not. On a GPU `ours, bf16` computes under autocast. The steps alternate, so that a busy machine slows
all of them alike. Both sides run with the allocator settings that the product's workers have.

`bound` of a float32 result is what its ratio would be if our step were nothing but its matrix products, at the speed of
a product of their shape that is measured in the same alternation.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.alignn_weights import load_alignn_weights
from benchmarks.timing import alternate, machine
from jobs.launch import child_environment
from jobs.tasks.crystal.compiled_kernel import use_kernels
from jobs.tasks.crystal.data.sources import load
from jobs.tasks.crystal.graphs.store import GraphStore
from jobs.tasks.crystal.schema import GraphParams
from models.batch import GraphBatch
from models.crystal_model import CrystalModel
from models.encoders.alignn import Alignn
from models.encoders.convolution import EdgeGatedConvolution
from models.fusion.registry import LATE, MIDDLE
from models.options import AlignnOptions
from runner.rundir.cache_root import cache_root

Step = Callable[[], object]
PRODUCT_ROWS, WIDTH = 11_000, 256  # the largest product of a step at batch 32: a row for every class of bond pairs


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--batch", type=int, default=32)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--dgl", action="store_true", help="alignn's DGL path as well")
    arguments.add_argument("--compile", action="store_true", help="ours with torch.compile as well")
    arguments.add_argument("--memory", action="store_true", help="peak memory of a step in a process of its own")
    arguments.add_argument("--only", help=argparse.SUPPRESS)  # the side that a memory process measures
    chosen = arguments.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.set_float32_matmul_precision("high")  # TF32 where there is a GPU
    if chosen.only:
        print(peak_bytes(chosen))
    elif chosen.memory:
        print(json.dumps({"machine": machine(), "results": memory(chosen)}, indent=1))
    else:
        print(json.dumps({"machine": machine(), "results": times(chosen)}, indent=1))


COMPARED = (  # name of the result, their side, our side
    ("step_vs_alignn", "alignn", "ours"),
    ("step_whole_vs_alignn", "alignn", "ours, whole"),
    ("step_torch_vs_alignn", "alignn", "ours, torch"),
    ("step_compiled_vs_alignn", "alignn", "ours, torch.compile"),
    ("step_bf16_vs_alignn", "alignn", "ours, bf16"),
    ("step_vs_dgl", "alignn on dgl", "ours"),
    ("step_whole_vs_dgl", "alignn on dgl", "ours, whole"),
)


def times(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds a step of each side, and their ratios."""
    sides = steps(chosen)
    flops = {name: products(step) for name, step in sides.items() if name in ("ours", "ours, whole", "ours, torch")}
    rows = torch.randn(PRODUCT_ROWS, WIDTH, device=chosen.device)
    weight = torch.randn(WIDTH, WIDTH, device=chosen.device)
    seconds = alternate({**sides, "product": waiting(lambda: rows @ weight, rows.is_cuda)}, chosen.rounds)
    speed = 2 * PRODUCT_ROWS * WIDTH**2 / seconds["product"]  # per second
    found = []
    for name, theirs, ours in COMPARED:
        if theirs in seconds and ours in seconds:
            ratio = seconds[theirs] / seconds[ours]
            result = {"name": name, "ratio": ratio, "ours": seconds[ours], "theirs": seconds[theirs],
                      "unit": "s", "batch": chosen.batch, "device": chosen.device}  # fmt: skip
            if ours in flops:
                result |= {
                    "flop": flops[ours],
                    "flop_per_second": speed,
                    "bound": seconds[theirs] * speed / flops[ours],
                }
            found.append(result)
    return found


def products(step: Step) -> int:
    """Floating-point operations of the matrix products of a step."""
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def waiting(compute: Step, is_cuda: bool) -> Step:
    """`compute`, and the end of it on a GPU."""

    def done() -> None:
        compute()
        if is_cuda:
            torch.cuda.synchronize()

    return done


def memory(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Peak memory of three steps above what the process had before, each side in a process of its own."""
    peaks = {}
    for side in ("alignn", "ours"):
        command = [sys.executable, "-m", "benchmarks.steps", "--only", side, "--batch", str(chosen.batch)]
        done = subprocess.run(
            [*command, "--threads", str(chosen.threads)],
            capture_output=True, text=True, check=True, env=child_environment(os.environ, chosen.threads),
            cwd=Path(__file__).parents[1],
        )  # fmt: skip
        peaks[side] = int(done.stdout)
    return [{"name": "step_memory_vs_alignn", "ratio": peaks["ours"] / peaks["alignn"], "ours": peaks["ours"],
             "theirs": peaks["alignn"], "unit": "bytes", "batch": chosen.batch, "device": "cpu"}]  # fmt: skip


def peak_bytes(chosen: argparse.Namespace) -> int:
    sides = steps(chosen)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        sides[chosen.only]()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


def steps(chosen: argparse.Namespace) -> dict[str, Step]:
    """Name → one training step."""
    quotients, whole = batches(chosen.batch, chosen.device)
    if chosen.device == "cpu":
        use_kernels(cache_root(), lambda said: print(said, file=sys.stderr))
    target = torch.randn(chosen.batch, generator=torch.Generator().manual_seed(0)).to(chosen.device)
    theirs = their_model().to(chosen.device)
    sides: dict[str, Step] = {}
    if chosen.only in (None, "alignn"):
        graphs = their_graphs(whole, Alignn(AlignnOptions()).to(chosen.device))
        sides["alignn"] = stepper(theirs, lambda: theirs(graphs)["out"], target)
    if chosen.only in (None, "ours"):
        sides["ours"] = our_step(theirs, quotients, target)
    if chosen.only is None:
        sides["ours, whole"] = our_step(theirs, whole, target)
        if target.is_cuda:
            sides["ours, bf16"] = our_step(theirs, quotients, target, bf16=True)
        else:
            sides["ours, torch"] = our_step(theirs, quotients, target, kernels=False)
    if chosen.compile:
        sides["ours, torch.compile"] = our_step(theirs, quotients, target, kernels=False, compiled=True)
    if chosen.dgl:
        sides["alignn on dgl"] = dgl_step(theirs, whole, target)
    return sides


def batches(size: int, device: str) -> tuple[GraphBatch, GraphBatch]:
    """The same crystals as quotients and as whole graphs, complete shells in both."""
    crystals = random.Random(0).sample(load("mp6k", None).crystals, size)
    found = [
        GraphStore.open(crystals, GraphParams(quotient=quotient), cache_root(), device=device).batch(range(size))
        for quotient in (True, False)
    ]
    return found[0], found[1]


def our_step(
    theirs: nn.Module,
    graphs: GraphBatch,
    target: torch.Tensor,
    *,
    kernels: bool = True,
    compiled: bool = False,
    bf16: bool = False,
) -> Step:
    """A step of our model with the weights of theirs; without `kernels` torch computes the convolutions."""
    none = MIDDLE["none"].options(name="none"), LATE["none"].options(name="none")  # type: ignore[call-arg]
    ours = CrystalModel(AlignnOptions(), *none, text_dim=None)
    load_alignn_weights(ours.encoder, ours.head, theirs.state_dict())
    ours = ours.to(target.device)
    for module in ours.modules():
        if isinstance(module, EdgeGatedConvolution):
            module.may_be_fused = kernels
    forward = torch.compile(ours, dynamic=True) if compiled else ours

    def predict() -> torch.Tensor:
        with torch.autocast(target.device.type, dtype=torch.bfloat16, enabled=bf16):
            prediction: torch.Tensor = forward(graphs).prediction
        return prediction.float()

    return stepper(ours, predict, target)


def stepper(model: nn.Module, predict: Callable[[], torch.Tensor], target: torch.Tensor) -> Step:
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.0, fused=True)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        torch.nn.functional.l1_loss(predict(), target).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if target.is_cuda:
            torch.cuda.synchronize()

    return step


def their_model() -> nn.Module:
    from alignn.models.alignn_atomwise_pure import ALIGNNAtomWisePure, ALIGNNAtomWisePureConfig

    torch.manual_seed(0)
    model: nn.Module = ALIGNNAtomWisePure(ALIGNNAtomWisePureConfig(**configuration("alignn_atomwise_pure")))
    return model


def configuration(name: str) -> dict[str, Any]:
    return {
        "name": name, "alignn_layers": 4, "gcn_layers": 4, "atom_input_features": 92, "embedding_features": 64,
        "hidden_features": 256, "calculate_gradient": False, "gradwise_weight": 0.0, "use_penalty": False,
        "energy_mult_natoms": False, "lg_on_fly": False,
    }  # fmt: skip


def their_graphs(graphs: GraphBatch, encoder: Alignn) -> Any:
    """The same atoms, bonds and pairs as alignn takes them; bond vectors need the right length only."""
    from alignn.torch_graph_builder import TorchGraph

    length = graphs.length.value[graphs.length.index]
    crystal = graphs.crystal[graphs.bonds.dst]
    bonds = torch.bincount(crystal, minlength=graphs.num_crystals)
    pairs = torch.bincount(crystal[graphs.pairs.dst], minlength=graphs.num_crystals)
    vectors = torch.stack([length, torch.zeros_like(length), torch.zeros_like(length)], 1)
    atoms = {"atom_features": encoder.atom_features(graphs.atomic_number)}
    first = TorchGraph(graphs.num_atoms, graphs.bonds.src, graphs.bonds.dst, atoms, {"r": vectors},
                       graphs.crystal_offsets.diff(), bonds)  # fmt: skip
    cosine = graphs.cosine.value[graphs.cosine.index]
    return first, TorchGraph(len(length), graphs.pairs.src, graphs.pairs.dst, {}, {"h": cosine}, bonds, pairs), None


def dgl_step(theirs: nn.Module, graphs: GraphBatch, target: torch.Tensor) -> Step:
    """alignn's own model on DGL 1.1.3, with the same weights."""
    import models.encoders.dgl_backend  # noqa: F401  # prepares the import of dgl

    import dgl  # isort: skip
    from alignn.models.alignn_atomwise import ALIGNNAtomWise, ALIGNNAtomWiseConfig

    model = ALIGNNAtomWise(ALIGNNAtomWiseConfig(**configuration("alignn_atomwise")))
    model.load_state_dict(theirs.state_dict(), strict=False)
    pure, pure_lines, _ = their_graphs(graphs, Alignn(AlignnOptions()))
    first = dgl.graph((pure.src, pure.dst), num_nodes=graphs.num_atoms)
    first.ndata["atom_features"] = pure.ndata["atom_features"]
    first.edata["r"] = pure.edata["r"]
    first.set_batch_num_nodes(pure.batch_num_nodes)
    first.set_batch_num_edges(pure.batch_num_edges)
    lines = dgl.graph((pure_lines.src, pure_lines.dst), num_nodes=first.num_edges())
    lines.edata["h"] = pure_lines.edata["h"]
    lines.set_batch_num_nodes(pure.batch_num_edges)
    lines.set_batch_num_edges(pure_lines.batch_num_edges)
    lattice = torch.eye(3).expand(graphs.num_crystals, 3, 3)
    return stepper(model, lambda: model((first, lines, lattice))["out"], target)


if __name__ == "__main__":
    if "MALLOC_TRIM_THRESHOLD_" not in os.environ:  # glibc reads it at the start of a process
        command = [sys.executable, "-m", "benchmarks.steps", *sys.argv[1:]]
        os.execvpe(sys.executable, command, child_environment(os.environ, 2))
    main()
