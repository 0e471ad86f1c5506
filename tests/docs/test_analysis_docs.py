"""docs/analysis.md says what is true of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from analysis import cli
from analysis.rank.comparability import Flag
from benchmarks import tied
from benchmarks.page import filled
from runner.config.experiment import Experiment
from runner.health.thresholds import overridden

PAGE = (Path(__file__).parents[2] / "docs" / "analysis.md").read_text(encoding="utf-8")


def test_every_command_is_named() -> None:
    missing = [command.name for command in cli.app.registered_commands if f"analysis {command.name}" not in PAGE]
    assert not missing


def test_the_keys_of_choosing_are_those_of_an_experiment_file() -> None:
    (block,) = (text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "within" in text)
    shown = yaml.safe_load(block)
    experiment = Experiment.model_validate({"experiment": "e", "task": "crystal", **shown})
    assert overridden(shown["health"], shown["select"]["ratio"]).cosine_poor == 0.2
    assert set(shown["select"]) == set(type(experiment.select).model_fields)
    assert set(shown["target_mae"]) == set(type(experiment.target_mae).model_fields)


@pytest.mark.parametrize("kind", ["epochs", "code", "micro_batch"])
def test_a_flag_about_how_runs_were_made_asks_for_care(kind: str) -> None:
    assert Flag(kind, "", "").unequal
    assert f"`{kind.replace('_', '-')} " in PAGE


def test_table_of_tied_is_what_the_rules_say() -> None:
    page = tied.PAGE.read_text(encoding="utf-8")
    assert filled(page, tied.tables()) == page, "run: python -m benchmarks.tied"
    assert len({tied.words(case) for case in tied.cases()}) == 4
