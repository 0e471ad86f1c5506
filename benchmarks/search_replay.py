"""Replays a search offline: how often it ends with a good variant, and what that costs, beside simpler ways.

    python -m benchmarks.search_replay --collect runs/search_table > table.csv
    python -m benchmarks.search_replay table.csv --baseline graph_only
    python -m benchmarks.search_replay --synthetic > second.csv       # one variant is 10 % better by construction

The table holds the validation metric of every point with every seed at every budget. It is recorded by a search that
drops nobody (docs/search.md says how): hours of training, done once.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runner.config.search import Rungs, Search
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir
from runner.rundir.ledger import SearchPlan
from runner.rundir.result import Result
from runner.search.rounds import cost, decide, kept_part, rounds

HEADER = ("point", "budget", "seed", "value")


@dataclass(frozen=True)
class Table:
    """values[point, budget, seed]: an error, the smaller the better."""

    points: list[str]
    budgets: list[float]
    values: np.ndarray

    @property
    def truth(self) -> np.ndarray:
        """What the full matrix says of each point."""
        return self.values[:, -1].mean(1)


def collect(path: Path) -> list[tuple[str, float, int, float]]:
    """The rows of an experiment whose search has trained every point at every budget; ValueError where runs lack."""
    directory = ExperimentDir(path)
    content = manifest.read(directory)
    plan = content.search
    if plan is None or plan.key is None:
        raise ValueError(f"{path} holds no search with rungs")
    rows = []
    for run in content.runs:
        result = Result.read(directory.run(run.run_id).result)
        value = result.metrics.get(content.select.metric) if result else None
        if value is None or run.seed is None:
            raise ValueError(f"{run.run_id} has no result; the table needs every point at every budget")
        rows.append((run.point, plan.values[run.rung], run.seed, value))
    return rows


def read(text: str) -> Table:
    """A table as `--collect` writes it; ValueError where a cell is missing."""
    rows = list(csv.DictReader(io.StringIO(text)))
    points = list(dict.fromkeys(row["point"] for row in rows))
    budgets = sorted({float(row["budget"]) for row in rows})
    seeds = sorted({int(row["seed"]) for row in rows})
    values = np.full((len(points), len(budgets), len(seeds)), np.nan)
    for row in rows:
        place = points.index(row["point"]), budgets.index(float(row["budget"])), seeds.index(int(row["seed"]))
        values[place] = float(row["value"])
    if np.isnan(values).any():
        raise ValueError(f"{int(np.isnan(values).sum())} of {values.size} cells are missing")
    return Table(points, budgets, values)


def synthetic(points: int = 12, seeds: int = 8, budgets: Sequence[float] = (5, 10, 20), gain: float = 0.1) -> Table:
    """One point is better by `gain`; noise as measured on 14 real seeds (MAE 0.23, seed sd 0.0097), and shared between
    the budgets of a run by half."""
    random = np.random.default_rng(7)
    truth = np.full(points, 0.23)
    truth[points // 2] *= 1 - gain
    size = (points, len(budgets), seeds)
    shared = random.standard_normal((points, 1, seeds))
    noise = 0.0097 * (np.sqrt(0.5) * shared + np.sqrt(0.5) * random.standard_normal(size))
    slope = np.array([1 + 0.5 * (1 - budget / budgets[-1]) for budget in budgets])  # small budgets end higher
    return Table([f"p{at}" for at in range(points)], list(budgets), truth[:, None, None] * slope[None, :, None] + noise)


def replay(table: Table, search: Search, seeds: Sequence[int], stable: float, within: float) -> tuple[int, float]:
    """The point that one search ends with, and its cost as a share of the full matrix. seeds: in the order they run."""
    plan = SearchPlan(rounds=rounds(search, len(seeds)), seeds=len(seeds), values=tuple(table.budgets), stable=stable)
    alive, counts = list(table.points), []
    for number, step in enumerate(plan.rounds, 1):
        counts.append(len(alive))
        chosen = list(seeds[: step.seeds])
        seen = {p: table.values[table.points.index(p), step.rung, chosen].tolist() for p in alive}
        alive, _ = decide(seen, "min", "val_mae", kept_part(search), within, cuts=number < len(plan.rounds))
    return table.points.index(alive[0]), cost(plan, counts)


def report(table: Table, baseline: str | None, keep: str, resamplings: int, stable: float, within: float) -> list[str]:
    """How often each way ends within 5 % of the best of the full matrix, and at what cost."""
    random, count = np.random.default_rng(0), table.values.shape[2]
    search = Search(rungs=Rungs(key="train.epochs", values=table.budgets, keep=keep), seeds="racing")  # type: ignore[arg-type]
    good = table.truth <= 1.05 * table.truth.min()
    hits = {"search": 0, "one seed of everything": 0, "random search at equal cost": 0}
    costs = []
    for _ in range(resamplings):
        seeds = random.integers(0, count, count)
        chosen, share = replay(table, search, seeds, stable, within)
        costs.append(share)
        some = random.permutation(len(table.points))[: max(1, round(share * len(table.points)))]
        full = table.values[:, -1]
        hits["search"] += bool(good[chosen])
        hits["one seed of everything"] += bool(good[full[:, seeds[0]].argmin()])
        hits["random search at equal cost"] += bool(good[some[full[some][:, seeds].mean(1).argmin()]])
    shares = {"search": float(np.mean(costs)), "one seed of everything": 1 / count}
    shares["random search at equal cost"] = shares["search"]
    lines = [f"{name}: good in {hit / resamplings:.0%}, cost {shares[name]:.0%}" for name, hit in hits.items()]
    if baseline is not None:
        verdict = "good" if good[table.points.index(baseline)] else "not within 5 % of the best"
        lines.append(f"{baseline} without a search: {verdict}, cost 0%")
    return [*lines, f"{good.sum()} of {len(good)} points are within 5 % of the best of the full matrix"]


def write(rows: Sequence[tuple[str, float, int, float]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(rows)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search_replay", description=__doc__)
    parser.add_argument("table", nargs="?", type=Path)
    parser.add_argument("--collect", type=Path, metavar="EXPERIMENT")
    parser.add_argument("--synthetic", action="store_true")
    parser.add_argument("--baseline")
    parser.add_argument("--keep", default="1/3")
    parser.add_argument("--within", type=float, default=0.05)
    parser.add_argument("--stable", type=float, default=0.8, help="0: a longer run starts anew")
    parser.add_argument("--resamplings", type=int, default=500)
    options = parser.parse_args(arguments)
    if options.collect:
        write(collect(options.collect))
    elif options.synthetic:
        table = synthetic()
        write([
            (point, budget, seed, float(table.values[p, b, seed]))
            for p, point in enumerate(table.points)
            for b, budget in enumerate(table.budgets)
            for seed in range(table.values.shape[2])
        ])  # fmt: skip
    else:
        table = read(options.table.read_text(encoding="utf-8"))
        for line in report(table, options.baseline, options.keep, options.resamplings, options.stable, options.within):
            print(line)


if __name__ == "__main__":
    main()
