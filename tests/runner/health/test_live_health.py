"""The health of a running run: from the experiment file through its configuration to `runner status`."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from experiment_factory import Plan, PlannedVariant, write_experiment
from runner.commands.loading import load
from runner.commands.status import as_json, as_table, take
from runner.config.experiment import Resources
from runner.errors import ConfigError
from runner.health.thresholds import DEFAULT
from runner.rundir.layout import ExperimentDir
from runner.rundir.manifest import Origin
from runner.rundir.run_config import RunConfig
from runner.submit.plan import RetryPlan
from runner.submit.run_files import run_config
from tiny_experiment import environment, parent_command, write_run

TOLD = """\
from typing import Any

from pydantic import BaseModel

from jobs.task import Outcome

class Params(BaseModel):
    model: dict[str, Any]

class Told:
    Params = Params
    seed_key = "seed"
    def prepare(self, params, cache_root, log):
        return []
    def run(self, params, context):
        return Outcome({"val_mae": 1.0}, best_epoch=1, epochs=1, extra={"start": context.params["model"]})
"""
CONFIG = """\
experiment: small
params: {data: {train: 16}}
select: {ratio: [2, 12]}
health: {cosine_poor: 0.2, contribution_bands: true}
"""


def test_a_run_is_judged_by_the_thresholds_of_its_experiment(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(CONFIG)
    expansion = load(tmp_path / "small.yaml", tmp_path).expansion
    origin = Origin([], "local", str(tmp_path))
    written = run_config(expansion, expansion.runs[0], RetryPlan(Resources()), origin).model_dump(mode="json")
    found = RunConfig.model_validate(written).thresholds()
    assert (found.ratio_low, found.ratio_high, found.cosine_poor, found.contribution_bands) == (2, 12, 0.2, True)
    assert found.gate_suppressed == DEFAULT.gate_suppressed


def test_a_configuration_of_an_older_version_has_the_default_thresholds() -> None:
    config = {"experiment": "x", "run_id": "r", "variant": "v", "seed": 0, "task": "crystal", "params": {}}
    assert RunConfig.model_validate(config).thresholds() == DEFAULT
    with pytest.raises(ConfigError, match=r"health\.cosine_pore.*\n?.*did you mean: cosine_poor"):
        RunConfig.model_validate({**config, "health": {"cosine_pore": 1}}).thresholds()


def test_status_shows_the_health_that_the_heartbeat_tells(tmp_path: Path) -> None:
    states = {0: "completed", 1: "completed", 2: "new"}
    path = write_experiment(tmp_path, Plan([PlannedVariant("2", states=states)]))
    for run, health in zip(sorted(ExperimentDir(path).runs.iterdir()), ("ok", "blocking"), strict=True):
        beat = json.loads((run / "heartbeat.json").read_text())
        (run / "heartbeat.json").write_text(json.dumps({**beat, "health": health}))
    status = take(ExperimentDir(path))
    assert [run["health"] for run in json.loads(as_json(status))["runs"]] == ["ok", "blocking", None]
    shown = io.StringIO()
    Console(file=shown, width=120).print(as_table(status, 120))
    lines = shown.getvalue().splitlines()
    assert any("health" in line for line in lines)
    assert [word for line in lines for word in ("ok", "blocking") if f" {word} " in line] == ["ok", "blocking"]


def test_a_run_knows_the_options_that_advice_may_name(tmp_path: Path) -> None:
    (tmp_path / "told_task.py").write_text(TOLD)
    model = {"middle_fusion": {"learnable_scale": True, "initial_scale": 12}}
    config = {"task": "told_task:Told", "code_path": str(tmp_path)}
    run = write_run(tmp_path / "exp", config=config, model=model)
    subprocess.run(parent_command(run), env=environment(), check=True)
    assert json.loads(run.result.read_text())["extra"] == {"start": model}
