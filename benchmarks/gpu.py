"""The GPU's questions, from one command in under ten minutes and without network; the answers go to results/gpu.json.

    python -m benchmarks.gpu [--device cuda] [--batch 64] [--rounds 20] [--output FILE] [--tiny]

1. The training step of benchmarks.steps: alignn's pure torch and ours, both with TF32; then ours in bf16.
2. configs/stage1.yaml, 18 runs on one GPU, several at a time, from `runner submit` to the last result; the caches are
   warm (`runner prepare` before it is not counted).

What was answered is written at once. `--tiny` asks for a few crystals and a run, to see the script work on a CPU.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks import steps
from benchmarks.experiments import command, wait_for_pool
from benchmarks.timing import alternate, machine
from models.encoders.alignn import Alignn
from models.options import AlignnOptions
from runner.rundir.layout import ExperimentDir

HERE = Path(__file__).resolve().parent
STAGE1 = HERE.parent / "configs" / "stage1.yaml"
LIMIT = 90.0  # s, of stage 1 on one H100
TINY = [
    "params.data.train=8", "params.data.val=4", "params.data.test=4", "params.train.epochs=1",
    "params.model.encoder.hidden=16", "matrix.seeds=[0]", "matrix.axes.model.middle_fusion.layers=[[1]]",
    "matrix.named={}", "baseline=null",
]  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--device", default="cuda")
    arguments.add_argument("--batch", type=int, default=64)
    arguments.add_argument("--rounds", type=int, default=20)
    arguments.add_argument("--parallel", type=int, default=6, help="runs that share the GPU")
    arguments.add_argument("--output", type=Path, default=HERE / "results" / "gpu.json")
    arguments.add_argument("--tiny", action="store_true")
    chosen = arguments.parse_args()
    if chosen.device == "cuda" and not torch.cuda.is_available():
        arguments.error("torch sees no GPU here; --device cpu --tiny shows that the script works")
    torch.set_float32_matmul_precision("high")  # TF32, on both sides
    found: list[dict[str, Any]] = []
    for result in answers(chosen):
        found.append(result)
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        chosen.output.write_text(json.dumps({"machine": where(chosen.device), "results": found}, indent=1) + "\n")
        print(json.dumps(result), flush=True)


def where(device: str) -> dict[str, Any]:
    """The machine, with the name of its GPU."""
    if device != "cuda":
        return {**machine(), "device": device}
    return {**machine(), "device": torch.cuda.get_device_name(), "cuda": torch.version.cuda}


def answers(chosen: argparse.Namespace) -> Iterator[dict[str, Any]]:
    size, rounds = (1, 1) if chosen.tiny else (chosen.batch, chosen.rounds)
    yield from step_ratios(size, rounds, chosen.device)
    yield search(chosen.device, chosen.parallel, TINY if chosen.tiny else [])


def step_ratios(size: int, rounds: int, device: str) -> Iterator[dict[str, Any]]:
    """Ours with quotients, ours with whole graphs and ours in bf16, each against alignn."""
    quotients, whole = steps.batches(size, device)
    target = torch.randn(size, generator=torch.Generator().manual_seed(0)).to(device)
    theirs = steps.their_model().to(device)
    graphs = steps.their_graphs(whole, Alignn(AlignnOptions()).to(device))
    sides = {
        "alignn": steps.stepper(theirs, lambda: theirs(graphs)["out"], target),
        "gpu_step_vs_alignn": steps.our_step(theirs, quotients, target),
        "gpu_step_whole_vs_alignn": steps.our_step(theirs, whole, target),
        "gpu_step_bf16_vs_alignn": steps.our_step(theirs, quotients, target, bf16=True),
    }
    seconds = alternate(sides, rounds)
    other = seconds.pop("alignn")
    for name, ours in seconds.items():
        yield {"name": name, "ratio": other / ours, "ours": ours, "theirs": other, "unit": "s", "batch": size}


def search(device: str, parallel: int, overrides: list[str]) -> dict[str, Any]:
    """Seconds of the whole search; RuntimeError where a run is missing."""
    changes = [f"resources.gpus={int(device == 'cuda')}", "resources.cpus=2", f"array.max_parallel={parallel}"]
    sets = [word for change in [*overrides, *changes] for word in ("--set", change)]
    with tempfile.TemporaryDirectory() as folder:
        call("prepare", STAGE1, *sets, "--cluster", "local")
        began = time.perf_counter()
        call("submit", STAGE1, *sets, "--cluster", "local", "--root", folder, "--wait")
        seconds = time.perf_counter() - began
        name = yaml.safe_load(STAGE1.read_text(encoding="utf-8"))["experiment"]
        experiment = ExperimentDir(Path(folder) / name)
        wait_for_pool(experiment)
        runs = list(experiment.runs.iterdir())
        done = sum((run / "result.json").exists() for run in runs)
    if done != len(runs):
        raise RuntimeError(f"{done} of {len(runs)} runs are completed")
    limit = {} if overrides else {"limit": LIMIT}
    return {"name": "stage1_seconds", "ours": seconds, "unit": "s", "runs": done, "parallel": parallel, **limit}


def call(name: str, *arguments: object) -> None:
    line, environment = command(name, *arguments)
    subprocess.run(line, env=environment, check=True)


if __name__ == "__main__":
    main()
