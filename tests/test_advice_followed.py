"""Advice is followed: a proposed key is accepted for that variant and changes it, a proposed command does something."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_health import LAYER_RULES

from analysis.rank.next_steps import Step
from analysis.rank.summary import summarize
from jobs.tasks.crystal.schema import CrystalParams
from jobs.training.options import ADVICE
from models.fusion.registry import LATE, MIDDLE
from runner.config.yaml_source import PlainLoader
from runner.health.judgement import Ending, Logs, finished_findings, fusion_findings
from runner.rundir.layout import ExperimentDir
from runner_main import run
from tiny_experiment import TESTS, environment

FUSIONS = [("middle_fusion", name) for name in MIDDLE] + [("late_fusion", name) for name in LATE]
PROPOSED = re.compile(r"(?:(larger|smaller|fewer|other) )?\b((?:model|train|data)(?:\.[a-z_]+)+)(?:: ([\w.-]+))?")


def params_of(section: str, name: str) -> dict[str, Any]:
    """What a run with this fusion has in its configuration."""
    layers = {"layers": [1, 2]} if section == "middle_fusion" and name != "none" else {}
    model = {"encoder": {"name": "alignn", "alignn_layers": 3}, section: {"name": name, **layers}}
    content = {"data": {"dataset": "mp6k", "train": 100}, "model": model}
    return CrystalParams.model_validate(content).model_dump(mode="json")


def value_at(params: Mapping[str, Any], key: str) -> Any:
    for part in key.split("."):
        assert part in params, f"{key}: the variant has no {part}"
        params = params[part]
    return params


def follow(params: dict[str, Any], advice: str) -> Iterator[tuple[str, Any]]:
    """Each proposed change, made: the key and the new value, which the task accepts."""
    for word, key, written in PROPOSED.findall(advice):
        before = value_at(params, key)
        if written:
            after: Any = yaml.load(written, PlainLoader)
        elif isinstance(before, list):
            after = before[:1] if word == "fewer" else [3]
        elif word in ("larger", "smaller"):
            after = type(before)(before * {"larger": 1.5, "smaller": 0.5}[word]) or 0.2
        else:
            continue  # named, not to be changed
        changed = yaml.safe_load(yaml.safe_dump(params))
        *parents, last = key.split(".")
        value_at(changed, ".".join(parents))[last] = after
        if last == "name":  # the other fusion has options of its own
            value_at(changed, ".".join(parents)).clear()
            value_at(changed, ".".join(parents))[last] = after
        accepted = CrystalParams.model_validate(changed).model_dump(mode="json")
        assert value_at(accepted, key) != before, f"{advice}: {key} is {before} already"
        yield key, after


@pytest.mark.parametrize(("section", "name"), FUSIONS, ids=lambda value: value)
def test_keys_that_a_finding_of_a_layer_names_are_accepted_for_that_fusion(section: str, name: str) -> None:
    params = params_of(section, name)
    steps = -(-params["data"]["train"] // params["train"]["batch_size"]) * params["train"]["epochs"]
    for layer, values, *_ in LAYER_RULES:
        if (layer == "late") == (section == "late_fusion"):
            for finding in fusion_findings({layer: values}, params=params, steps=steps):
                list(follow(params, finding.advice))


def test_keys_are_named_at_all_and_followed() -> None:
    params = params_of("middle_fusion", "middle")
    followed = {
        key
        for layer, values, *_ in LAYER_RULES
        if layer == "2"
        for finding in fusion_findings({layer: values}, params=params)
        for key, _ in follow(params, finding.advice)
    }
    fusion = {f"model.middle_fusion.{key}" for key in ("initial_scale", "gate_norm", "dropout", "layers")}
    assert followed >= fusion | {"train.learning_rate", "train.contrastive_weight"}


@pytest.mark.parametrize("kind", ADVICE, ids=str)
def test_keys_that_a_failure_names_are_accepted(kind: Any) -> None:
    params = params_of("middle_fusion", "dynamic")
    params["train"]["micro_batch"] = params["train"]["batch_size"] // 2
    assert list(follow(params, ADVICE[kind].replace("train.batch_size or", "train.batch_size or a smaller")))


def test_keys_that_a_finding_of_the_training_names_are_accepted() -> None:
    params = params_of("middle_fusion", "dynamic")
    history = [{"epoch": epoch, "step": epoch, "train_loss": float("nan"), "val_mae": 1.0} for epoch in range(1, 4)]
    findings = finished_findings(Logs(history), Ending(metrics={"val_mae": 1.0}, best_epoch=3), params)
    assert {"non_finite"} <= {finding.rule for finding in findings}
    assert {key for finding in findings for key, _ in follow(params, finding.advice)} >= {"train.learning_rate"}


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A search of one seed over a variant that completes and one that fails in its first attempt, as it was sent."""
    monkeypatch.chdir(TESTS)  # of tiny_task
    for name, value in environment(RUNNER_ROOT=str(tmp_path / "runs")).items():
        monkeypatch.setenv(name, value)
    content = {
        "experiment": "e",
        "task": "tiny_task:TinyTask",
        "params": {"first_attempts": 1},
        "matrix": {"axes": {"mischief": [None, "kill"], "train.epochs": [1, 2]}},
        "select": {"metric": "val_loss"},
        "retry": {"max_attempts": 3},
        "next": {"config": "stage2.yaml", "top": 1},
    }
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(content))
    template = {**content, "experiment": "stage2", "matrix": {}, "next": None}
    (tmp_path / "stage2.yaml").write_text(yaml.safe_dump({k: v for k, v in template.items() if v is not None}))
    assert run("submit", tmp_path / "e.yaml", "--wait").status == 1
    return tmp_path / "runs" / "e"


def proposed(directory: Path) -> dict[str, Step]:
    return {step.purpose: step for step in summarize(directory).steps}


def followed(step: Step, *more: str) -> str:
    """What the proposed command says, once it has done its work."""
    program, *words = shlex.split(step.command)
    assert program == "runner"
    done = run(*words, *more)
    assert done.status == 0, f"{step.command}: {done.err}"
    return str(done.out + done.err)


def test_commands_of_a_summary_do_what_they_are_proposed_for(search: Path) -> None:
    steps = proposed(search)
    assert "kill" in followed(steps["look at the failures"])
    assert "sent 2 runs" in followed(steps["send what failed again"], "--wait")
    steps = proposed(search)
    assert not {"look at the failures", "send what failed again"} & set(steps)
    assert "sent 8 runs" in followed(steps["train more seeds, before a difference is claimed"])
    assert "8 completed, 4 failed" in run("status", search, "--watch").err
    assert "sent 4 runs" in followed(proposed(search)["send what failed again"], "--wait")
    steps = proposed(search)
    assert "train more seeds, before a difference is claimed" not in steps
    assert "stage2" in followed(steps["write the next stage"])


def test_sending_again_is_proposed_only_where_something_would_be_sent(search: Path) -> None:
    for folder in ExperimentDir(search).runs.iterdir():
        failure = ExperimentDir(search).run(folder.name).failure
        if failure.exists():
            failure.write_text(failure.read_text().replace('"killed"', '"exception"'))
    assert "look at the failures" in proposed(search)
    assert "send what failed again" not in proposed(search)
