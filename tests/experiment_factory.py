"""Writes experiment directories as the runner leaves them, with planted effects. Used by tests and benchmarks."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from runner.rundir.layout import ExperimentDir, RunDir

FUSION_COLUMNS = (
    "epoch", "layer", "w_graph", "w_text", "ratio", "contribution_ratio",
    "text_scale", "node_scale", "gate_mean", "gate_std",
)  # fmt: skip
COMMIT = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567"  # of the code that runs were made with
NOW = 1_790_000_000.0  # seconds since 1970; the time of day of the tests


@dataclass(frozen=True)
class PlannedVariant:
    """A variant with what is planted in it."""

    name: str
    error: float = 0.10  # mean absolute validation error of the predictions
    layers: Sequence[int] = (2,)  # of the middle fusion; empty: none
    late: str = "none"
    parameters: int | None = 4_000_000
    weights: tuple[float, float] | None = (0.6, 0.3)  # w_graph, w_text of every layer: ratio 5.3
    test_error: float | None = None  # default: the validation error
    layer_values: Mapping[str, float] = field(default_factory=dict)  # further columns of fusion_weights.csv
    diagnostics: Mapping[str, Any] = field(default_factory=dict)  # quantities of diagnostics.jsonl
    axes: Mapping[str, Any] | None = None  # default: the layers
    states: Mapping[int, str] = field(default_factory=dict)  # seed → state; default completed
    seed_shifts: Mapping[int, float] = field(default_factory=dict)  # seed → added to its mean error
    metrics: Mapping[str, float] = field(default_factory=dict)  # replaces entries of result.json's metrics
    results: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)  # seed → entries of result.json replaced
    code: Mapping[int, str] = field(default_factory=dict)  # seed → commit it was made with, where another


@dataclass(frozen=True)
class Plan:
    """An experiment with what is planted in it."""

    variants: Sequence[PlannedVariant]
    name: str = "stage1"
    seeds: Sequence[int] = (0, 1, 2)
    crystals: int = 50
    epochs: int = 12
    best_epoch: int = 9
    crystal_noise: float = 0.0  # sd of the absolute error from crystal to crystal, independent between variants
    seed_noise: float = 0.0  # sd of the mean error from seed to seed
    manifest: Mapping[str, Any] = field(default_factory=dict)  # further keys


def write_experiment(root: Path, plan: Plan) -> Path:
    """Write `root/<name>` and return it. Numbers are drawn from a fixed seed."""
    directory = ExperimentDir(root / plan.name)
    directory.runs.mkdir(parents=True, exist_ok=True)
    runs = [(variant, seed) for variant in plan.variants for seed in plan.seeds]
    random = np.random.default_rng(7)
    planned = []
    for number, (variant, seed) in enumerate(runs):
        run = directory.run(f"{variant.name}-s{seed}-{number:08x}")
        planned.append(planned_run(run.run_id, variant, seed))
        write_run(run, variant, seed, plan, random)
    manifest = {
        "experiment": plan.name,
        "task": "crystal",
        "created": "2026-08-01T00:00:00+00:00",
        "select": {"metric": "val_mae", "mode": "min", "within": "5%", "ratio": [3, 10]},
        "runs": planned,
        **plan.manifest,
    }
    directory.manifest.write_text(json.dumps(manifest, ensure_ascii=False))
    return directory.path


def planned_run(run_id: str, variant: PlannedVariant, seed: int) -> dict[str, Any]:
    """One entry of the manifest."""
    middle: dict[str, Any] = {"name": "none"}
    if variant.layers:
        middle = {"name": "dynamic", "layers": list(variant.layers)}
    axes = {"model.middle_fusion.layers": list(variant.layers)} if variant.axes is None else variant.axes
    params = {
        "model": {"middle_fusion": middle, "late_fusion": {"name": variant.late}},
        "train": {"seed": seed, "epochs": 12},
    }
    return {"run_id": run_id, "variant": variant.name, "seed": seed, "axes": dict(axes), "params": params}


def write_run(run: RunDir, variant: PlannedVariant, seed: int, plan: Plan, random: np.random.Generator) -> None:
    """The files of one run in the state that is planned for it."""
    state = variant.states.get(seed, "completed")
    if state == "new":
        return
    run.path.mkdir(parents=True, exist_ok=True)
    beat = NOW - (5 if state == "running" else 5000)
    run.heartbeat.write_text(json.dumps({"host": "n1", "attempt": 1, "epoch": 3, "time": beat}))
    shift = plan.seed_noise * random.standard_normal() + variant.seed_shifts.get(seed, 0.0)
    errors = _errors(variant.error + shift, plan, random)
    tests = _errors((variant.test_error or variant.error) + shift, plan, random)
    epochs = plan.epochs if state == "completed" else 3
    code = {"path": "/home/kim/array-runner", "commit": variant.code.get(seed, COMMIT), "diff": ""}
    run.provenance.write_text(json.dumps({"code": code, "user_code": None, "python": "3.11.9", "host": "n1"}))
    write_curves(run, float(errors.mean()), epochs, plan)
    write_fusion(run, variant, epochs)
    if state == "failed":
        failure = {"kind": "gpu_out_of_memory", "message": "CUDA out of memory\nmore", "traceback": "", "attempt": 1}
        run.failure.write_text(json.dumps(failure | {"time": NOW - 4000, "job_id": "1_2"}))
    if state != "completed":
        return
    write_predictions(run, {"val": errors, "test": tests}, random)
    metrics = {"val_mae": float(errors.mean()), "test_mae": float(tests.mean()), **variant.metrics}
    result = {
        "run_id": run.run_id, "variant": variant.name, "seed": seed, "metrics": metrics, "best_epoch": plan.best_epoch,
        "epochs": plan.epochs, "stopped_early": False, "seconds": 90.0 + seed, "parameters": variant.parameters,
        "attempts": 1, "gpus": 1, "adjustments": {},
        "fusion": {str(layer): _layer_values(variant) for layer in variant.layers},
    }  # fmt: skip
    run.result.write_text(json.dumps(result | variant.results.get(seed, {})))


def _errors(mean: float, plan: Plan, random: np.random.Generator) -> np.ndarray:
    """Absolute errors of the crystals, eV/atom; their mean is `mean` but for the planted noise."""
    return np.abs(mean + plan.crystal_noise * random.standard_normal(plan.crystals))


def write_curves(run: RunDir, final: float, epochs: int, plan: Plan) -> None:
    """metrics.jsonl: an error that falls until the best epoch and rises a little after it."""
    lines = []
    for epoch in range(1, epochs + 1):
        val = final * (1 + 0.08 * abs(epoch - plan.best_epoch))
        record = {
            "epoch": epoch, "step": 8 * epoch, "attempt": 1, "time": NOW - 9000 + epoch, "seconds": 1.5,
            "learning_rate": 1e-3, "train_loss": 0.9 * val, "train_mae": 0.8 * val, "val_loss": val, "val_mae": val,
        }  # fmt: skip
        lines.append(json.dumps(record) + "\n")
    run.metrics.write_text("".join(lines))


def _layer_values(variant: PlannedVariant) -> dict[str, float]:
    values = dict(variant.layer_values)
    if variant.weights is not None:
        graph, text = variant.weights
        values |= {
            "w_graph": graph,
            "w_text": text,
            "ratio": (1 + graph) / text,
            "contribution_ratio": (1 + graph) / text,
        }
    return values


def write_fusion(run: RunDir, variant: PlannedVariant, epochs: int) -> None:
    """fusion_weights.csv and diagnostics.jsonl: the planted values in every epoch."""
    values = _layer_values(variant)
    with run.fusion_weights.open("w", newline="") as file:
        writer = csv.DictWriter(file, FUSION_COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for epoch in range(1, epochs + 1):
            writer.writerows({"epoch": epoch, "layer": layer, **values} for layer in variant.layers)
    if variant.diagnostics:
        layers = {str(layer): dict(variant.diagnostics) for layer in variant.layers}
        lines = [json.dumps({"epoch": epoch, "layers": layers}) + "\n" for epoch in range(1, epochs + 1)]
        run.diagnostics.write_text("".join(lines))


def write_predictions(run: RunDir, errors: Mapping[str, np.ndarray], random: np.random.Generator) -> None:
    """predictions.csv: targets spread by about 1 eV/atom, off by the given errors with either sign."""
    lines = ["id,split,target,prediction"]
    for split, values in errors.items():
        targets = np.random.default_rng(len(split)).normal(-1.0, 1.0, len(values))
        signs = random.choice([-1, 1], len(values))
        lines += [
            f"{split}-{i},{split},{target:.9f},{target + sign * error:.9f}"
            for i, (target, sign, error) in enumerate(zip(targets, signs, values, strict=True))
        ]
    run.predictions.write_text("\n".join(lines) + "\n")
