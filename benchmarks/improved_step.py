"""What `improved` costs beyond `middle`: processor seconds of a training step, and parameters, side by side.

    python -m benchmarks.improved_step [--crystals 16] [--rounds 15] [--hidden 256]

Both at layer 2 of the default encoder, on the same crystals of mp6k in one thread; a step ends with AdamW.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import alternate, machine
from jobs.tasks.crystal.data.sources import load
from jobs.tasks.crystal.graphs.store import GraphStore
from jobs.tasks.crystal.schema import GraphParams
from jobs.training.optimisation import optimiser_for
from models.batch import GraphBatch, TextBatch
from models.crystal_model import CrystalModel
from models.fusion.registry import LATE, MIDDLE
from models.options import AlignnOptions

WIDTH = 384  # of the text vectors
NAMES = ("improved", "middle")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--crystals", type=int, default=16)
    arguments.add_argument("--rounds", type=int, default=15)
    arguments.add_argument("--hidden", type=int, default=256)
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    graphs, texts = batch(chosen.crystals)
    nets = {name: model(name, chosen.hidden) for name in NAMES}
    steps = {name: step(net, graphs, texts) for name, net in nets.items()}
    seconds = alternate(steps, chosen.rounds, time.process_time)
    sizes = {name: float(sum(p.numel() for p in net.parameters())) for name, net in nets.items()}
    results = [
        compared("training step: improved against middle", "s of one core", seconds),
        compared("parameters: improved against middle", "parameters", sizes),
    ]
    print(json.dumps({"machine": machine(), "results": results}, indent=1))


def compared(name: str, unit: str, values: dict[str, float]) -> dict[str, Any]:
    """`ratio`: how many times more `improved` takes."""
    ours, theirs = (values[its] for its in NAMES)
    return {
        "name": name,
        "unit": unit,
        "ours": round(ours, 4),
        "theirs": round(theirs, 4),
        "ratio": round(ours / theirs, 4),
    }


def batch(count: int) -> tuple[GraphBatch, TextBatch]:
    """`count` crystals of mp6k, drawn at random, with texts of random numbers."""
    crystals = random.Random(0).sample(load("mp6k", None).crystals, count)
    with tempfile.TemporaryDirectory() as folder:
        graphs = GraphStore.open(crystals, GraphParams(), Path(folder)).batch(range(count))
    generator = torch.Generator().manual_seed(0)
    return graphs, TextBatch(torch.randn(count, WIDTH, generator=generator), torch.ones(count, dtype=torch.bool))


def model(name: str, hidden: int) -> CrystalModel:
    torch.manual_seed(0)
    options = MIDDLE[name].options.model_validate({"name": name})
    none = LATE["none"].options.model_validate({"name": "none"})
    return CrystalModel(AlignnOptions(hidden=hidden), options, none, text_dim=WIDTH).train()


def step(net: CrystalModel, graphs: GraphBatch, texts: TextBatch) -> Callable[[], object]:
    optimiser = optimiser_for(net, 1e-3, 1e-5)

    def once() -> None:
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(net(graphs, texts).prediction.abs().mean())
        optimiser.step()

    return once


if __name__ == "__main__":
    main()
