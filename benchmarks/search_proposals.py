"""How long proposals take, and how much better the point is that they end with than that of as many random draws.

    python -m benchmarks.search_proposals        # writes benchmarks/results/search_proposals.json; some minutes

The axes are the 19 of configs/search_mbj.yaml, with their conditions. The error of a point is constructed: a few axes
decide, the others do nothing, and every result has noise as large as between seeds of real runs.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import machine
from jobs.tasks.crystal.schema import CrystalParams
from runner.config.experiment_file import load
from runner.matrix.expansion import Expansion, Run, expand
from runner.matrix.proposed import joined

ROOT = Path(__file__).resolve().parent.parent
MEASURED = ROOT / "benchmarks" / "results" / "search_proposals.json"
LIMIT = 60.0  # s, for 100 proposals from 1,000 results
SEED_SD = 0.0097 / 0.23  # between 14 real seeds, as a share of the error
REPEATS = 40
AT_ONCE = 12
CASES = [(24, SEED_SD), (60, SEED_SD), (120, SEED_SD), (60, 5 * SEED_SD)]  # points, noise


def search(count: int, at_once: int, seed: int = 0) -> Expansion:
    """The first round of a search with proposals alone."""
    keys = [f"search={{propose: {{count: {count}, at_once: {at_once}, seed: {seed}}}}}", f"matrix.random.seed={seed}"]
    file = load(ROOT / "configs" / "search_mbj.yaml", [*keys, "matrix.seeds=[0]", "matrix.named={}", "baseline=null"])
    return expand(file, CrystalParams, "train.seed")


def error(run: Run) -> float:
    """What a run would end with, without noise; 1 is the best. Four axes decide, one of them has its own condition."""
    train, model = run.params["train"], run.params["model"]
    loss = 1 + 0.3 * math.log10(train["learning_rate"] / 1e-3) ** 2 + 0.5 * model["encoder"]["dropout"]
    loss += 0.1 * (model["late_fusion"]["name"] in ("none", "concat"))
    return loss + 0.1 * abs(math.log10(model["middle_fusion"].get("initial_scale", 0.5) / 5))


def observed(its: Expansion, noise: float, random: np.random.Generator) -> dict[str, tuple[float, ...]]:
    return {run.point: (error(run) * (1 + noise * float(random.standard_normal())),) for run in its.runs}


def seconds(results: int = 1000, count: int = 100) -> dict[str, float]:
    """How long `count` proposals from so many `results` take, checks of the points included, and the processor time of
    it, which a busy machine spares."""
    its = search(results + count, results)
    seen = observed(its, SEED_SD, np.random.default_rng(0))
    began, before = time.perf_counter(), time.process_time()
    if len(joined(its, 1, seen)) != count:
        raise RuntimeError(f"fewer than {count} points were proposed")
    return {"seconds": time.perf_counter() - began, "processor_seconds": time.process_time() - before}


def chosen(count: int, at_once: int, rounds: int, noise: float, seed: int) -> float:
    """The error without noise of the point that looks best after so many `rounds`."""
    random = np.random.default_rng(seed)
    its = search(count, at_once, seed)
    seen = observed(its, noise, random)
    for number in range(1, rounds):
        its = its.with_proposed([*(run.axes for run in its.runs[at_once:]), *joined(its, number, seen).values()])
        seen = {**observed(its, noise, random), **seen}
    best = min(seen, key=lambda point: seen[point])
    return next(error(run) for run in its.runs if run.point == best)


def case(count: int, noise: float) -> dict[str, Any]:
    drawn = [chosen(count + 1, count, 1, noise, seed) for seed in range(REPEATS)]
    proposed = [chosen(count, AT_ONCE, count // AT_ONCE, noise, seed) for seed in range(REPEATS)]
    pairs = np.subtract(drawn, proposed)
    return {
        "points": count, "noise": noise, "drawn": float(np.mean(drawn)), "proposed": float(np.mean(proposed)),
        "gain": float(pairs.mean()), "two_standard_errors": float(2 * pairs.std(ddof=1) / math.sqrt(REPEATS)),
    }  # fmt: skip


def main() -> None:
    found = {"machine": machine(), **seconds(), "repeats": REPEATS, "cases": [case(*its) for its in CASES]}
    MEASURED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
