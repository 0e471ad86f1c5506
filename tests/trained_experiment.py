"""A small experiment of the crystal task whose runs are trained in this process. Used by tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from jobs.context import RunContext
from jobs.node.child import result_of
from jobs.tasks.crystal.schema import CrystalParams
from jobs.tasks.crystal.task import CrystalTask
from runner.files import write_json
from runner.rundir.layout import ExperimentDir
from runner.rundir.run_config import read_run_config

ENCODER = {"name": "alignn", "alignn_layers": 2, "gcn_layers": 1, "embedding": 8, "hidden": 16}
MIDDLE = {"name": "middle", "layers": [1, 2], "hidden_dim": 8, "initial_scale": 2.0}
DYNAMIC = {"name": "dynamic", "layers": [2], "hidden_dim": 8}


def train(folder: Path, cache: Path, models: Mapping[str, Mapping[str, Any]], **data: Any) -> ExperimentDir:
    """An experiment at `folder` with a run of two epochs for each model, as `runner` leaves it; `data`: its section."""
    directory = ExperimentDir(folder)
    planned = []
    for variant, model in models.items():
        params = CrystalParams.model_validate(
            {
                "data": {"dataset": "jarvis_minerals", "train": 16, "val": 8, "test": 8, **data},
                "text": {"describe": "robocrys", "max_length": 32},
                "model": {"encoder": ENCODER, **model},
                "train": {"epochs": 2, "batch_size": 8},
            }
        )
        run = directory.run(f"{variant}-s0-00000000")
        run.path.mkdir(parents=True)
        shared = {"run_id": run.run_id, "variant": variant, "seed": 0, "params": params.model_dump(mode="json")}
        run.config.write_text(yaml.safe_dump({"experiment": "small", "task": "crystal", **shared}))
        outcome = CrystalTask().run(params, RunContext(run, variant=variant, cache_root=cache))
        result_of(outcome, read_run_config(run), run, 1).write(run)
        planned.append({**shared, "axes": {"model": variant}})
    write_json(directory.manifest, {"experiment": "small", "task": "crystal", "runs": planned})
    return directory
