"""How often a healthy run is called unhealthy: 14 seeds each of graph_only and dynamic on mp6k.

python -m benchmarks.false_alarms FOLDER        # trains what is missing there, writes results/false_alarms.json

No blocking finding, and at most one warning a run: a false alarm is a defect.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import yaml

from analysis.rank.summary import summarize
from benchmarks.timing import machine
from jobs.context import RunContext
from jobs.node.child import result_of
from jobs.tasks.crystal.schema import CrystalParams
from jobs.tasks.crystal.task import CrystalTask
from runner.files import write_json
from runner.rundir.layout import ExperimentDir
from runner.rundir.run_config import read_run_config

MEASURED = Path(__file__).resolve().parent / "results" / "false_alarms.json"
SEEDS = 14
DYNAMIC = {"middle_fusion": {"name": "dynamic", "layers": [2], "hidden_dim": 64}}
MODELS: dict[str, dict[str, Any]] = {"graph_only": {}, "dynamic": DYNAMIC}
PARAMS: dict[str, Any] = {  # the encoder and training of configs/fusion_study.yaml
    "data": {"dataset": "mp6k", "train": 400, "val": 400},
    "model": {"encoder": {"name": "alignn", "alignn_layers": 3, "gcn_layers": 2, "embedding": 32, "hidden": 64}},
    "train": {"epochs": 15, "batch_size": 32, "learning_rate": 2e-3},
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    directory = ExperimentDir(arguments.parse_args().folder)
    train(directory)
    content = measured(directory)
    MEASURED.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"blocking findings: {content['blocking']}; most warnings of a run: {content['most_warnings']}")


def train(directory: ExperimentDir) -> None:
    """Every run that has not completed yet, and the manifest."""
    planned = []
    for seed in range(SEEDS):
        for variant, model in MODELS.items():
            params = CrystalParams.model_validate(
                PARAMS | {"model": PARAMS["model"] | model, "train": PARAMS["train"] | {"seed": seed}}
            )
            run = directory.run(f"{variant}-s{seed}-00000000")
            shared = {"run_id": run.run_id, "variant": variant, "seed": seed, "params": params.model_dump(mode="json")}
            planned.append({**shared, "axes": {"model": variant}})
            if run.result.exists():
                continue
            run.path.mkdir(parents=True, exist_ok=True)
            run.config.write_text(yaml.safe_dump({"experiment": "false_alarms", "task": "crystal", **shared}))
            context = RunContext(run, variant=variant, params=shared["params"])
            result_of(CrystalTask().run(params, context), read_run_config(run), run, 1).write(run)
    write_json(directory.manifest, {"experiment": "false_alarms", "task": "crystal", "runs": planned})


def measured(directory: ExperimentDir) -> dict[str, Any]:
    """Every finding of every run; warnings are counted by verdict."""
    runs = []
    for run in summarize(directory.path, cache=False).collection.runs:
        findings = [finding.as_dict() for finding in run.record.findings]
        warnings = [each["rule"] for each in findings if each["level"] == "warning" and each["below"] is None]
        blocking = [each["rule"] for each in findings if each["level"] == "blocking"]
        metrics = {name: run.result.metrics.get(name) for name in ("val_mae", "test_mae", "reliance")}
        layers = {
            layer: {name: values.get(name) for name in ("ratio", "contribution_ratio", "relative_change")}
            for layer, values in run.result.fusion.items()
        }
        named = {"run_id": run.run_id, **metrics, "fusion": layers}
        runs.append({**named, "blocking": blocking, "warnings": warnings, "findings": findings})
    return {
        "machine": machine(),
        "torch": torch.__version__,
        "blocking": sum(len(run["blocking"]) for run in runs),
        "most_warnings": max(len(run["warnings"]) for run in runs),
        "runs": runs,
    }


if __name__ == "__main__":
    main()
