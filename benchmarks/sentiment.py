"""What the weights of the sentiment task's losses do, and how long the whole grid takes, on generated data.

python -m benchmarks.sentiment --study      # a few pairs of weights, separate and shared vectors; minutes on one core
python -m benchmarks.sentiment --grid       # configs/tva_grid.yaml through the runner, two runs at once
python -m benchmarks.sentiment              # writes the tables of docs/results.md from what was measured
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from analysis.output.records import search_results
from analysis.rank.summary import summarize
from benchmarks.page import filled, table
from benchmarks.timing import machine
from jobs.context import RunContext
from jobs.tasks.sentiment.schema import SentimentParams
from jobs.tasks.sentiment.task import SentimentTask
from models.sentiment.options import MODALITIES
from runner.rundir.layout import RunDir

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "results.md"
MEASURED = HERE / "results" / "sentiment.json"
CONFIG = HERE.parent / "configs" / "tva_grid.yaml"
PAIRS = ((0.0, 0.0), (0.3, 0.0), (1.0, 0.0), (0.0, 0.05), (0.0, 0.2), (0.3, 0.001))  # δ_va, δ_nce
SEEDS = (0, 1)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--study", action="store_true")
    arguments.add_argument("--grid", action="store_true")
    chosen = arguments.parse_args()
    for name, measure in (("study", study), ("grid", grid)):
        if getattr(chosen, name):
            found = {**measured(), name: measure(), f"{name}_machine": machine()}
            MEASURED.parent.mkdir(exist_ok=True)
            MEASURED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), tables(measured())), encoding="utf-8")


def measured() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {}
    return found


def study() -> list[dict[str, Any]]:
    """Validation MSE and guidance of every pair, with separate and with shared vectors, over the seeds."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for shared in (False, True):
            for pair in PAIRS:
                runs = [_run(Path(folder), shared, pair, seed) for seed in SEEDS]
                rows.append({"shared": shared, "delta_va": pair[0], "delta_nce": pair[1], "runs": runs})
    return rows


def _run(folder: Path, shared: bool, pair: tuple[float, float], seed: int) -> dict[str, Any]:
    params = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["params"]
    params["model"]["shared"] = shared
    params["loss"] |= {"delta_va": pair[0], "delta_nce": pair[1]}
    params["train"]["seed"] = seed
    directory = RunDir(folder / f"{shared}-{pair[0]}-{pair[1]}-{seed}")
    directory.path.mkdir()
    outcome = SentimentTask().run(
        SentimentParams.model_validate(params), RunContext(directory, cache_root=folder / "cache")
    )
    return {
        "seed": seed,
        "val_mse": outcome.metrics["val_mse"],
        "epochs": outcome.epochs,
        "guidance": outcome.extra["guidance_weights"],
    }


def grid() -> dict[str, Any]:
    """The grid from the command line to the last result, with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "RUNNER_CACHE": f"{folder}/cache"}
        submit = [sys.executable, "-m", "runner.cli", "submit", str(CONFIG), "--wait", "--root", folder]
        began = time.perf_counter()
        subprocess.run(submit, check=True, env=environment, cwd=HERE.parent)
        seconds = time.perf_counter() - began
        summary = summarize(Path(folder) / "tva_grid")
        found = search_results(summary)
        del found["runs"], found["written"]
        assert summary.choice is not None
        chosen = summary.variant(summary.choice.variant)
        done = [run.result.seconds for run in summary.collection.runs if run.result.seconds]
        return {
            **found,
            "seconds": seconds,
            "median_run_seconds": statistics.median(done),
            "chosen_val_mse": chosen.val and chosen.val.mean,
            "worst_val_mse": max(variant.val.mean for variant in summary.variants if variant.val),
            "guidance": chosen.fusion["guidance"],
            "said": summary.weights.sentences if summary.weights else [],
        }


def tables(found: dict[str, Any]) -> dict[str, str]:
    """The parts of the page, by the names of their places."""
    parts = {"sentiment_grid": "Not measured yet: `python -m benchmarks.sentiment --grid`.\n"}
    if "study" in found:
        parts["sentiment_study"] = table(
            ("vectors", "δ_va", "δ_nce", "val MSE", *MODALITIES), [_cells(row) for row in found["study"]], numbers=6
        )
    if "grid" in found:
        its = found["grid"]
        lines = [
            f"{its['completed']} of {its['planned']} runs in {its['seconds'] / 60:.1f} minutes, two at once "
            f"({its['median_run_seconds']:.1f} s a run, start included); {its['stopped_early']} stopped early, "
            f"{its['total_epochs']} epochs in all.",
            f"Chosen: {its['choice']}, val MSE {its['chosen_val_mse']:.4f}; the worst pair has "
            f"{its['worst_val_mse']:.4f}.",
            *its["said"],
        ]
        parts["sentiment_grid"] = "".join(f"- {line}\n" for line in lines)
    return parts


def _cells(row: dict[str, Any]) -> list[str]:
    values = [run["val_mse"] for run in row["runs"]]
    guidance = [statistics.mean(run["guidance"][name] for run in row["runs"]) for name in MODALITIES]
    return [
        "shared" if row["shared"] else "separate",
        f"{row['delta_va']:g}",
        f"{row['delta_nce']:g}",
        f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}",
        *(f"{weight:.2f}" for weight in guidance),
    ]


if __name__ == "__main__":
    main()
