"""docs/tasks.md: its example is run as it stands, and it names every key."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from jobs.reading.presets import PRESETS
from jobs.reading.schema import FusionParams, MetricsParams, PredictionsParams
from jobs.tasks.command.schema import CommandSection
from jobs.tasks.command.task import OURS
from runner.files import read_json, read_json_lines
from tiny_experiment import environment, parent_command, wait_until, write_run

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "tasks.md").read_text(encoding="utf-8")
READING = (DOCS / "your-program.md").read_text(encoding="utf-8")


def block(language: str, containing: str) -> str:
    return next(text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if containing in text)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "line_task.py").write_text(block("python", "class LineTask"))
    (tmp_path / "line.yaml").write_text(block("yaml", "line_task:LineTask"))
    return tmp_path


def call(here: Path, module: str, *words: str) -> str:
    command = [sys.executable, "-P", "-m", module, *words]
    done = subprocess.run(command, env=environment(), cwd=here, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_example_is_searched_and_ranked(here: Path) -> None:
    call(here, "runner.cli", "submit", "line.yaml", "--wait")
    summary = json.loads(call(here, "analysis.cli", "summarize", "line", "--format", "json"))
    assert [its["variant"] for its in summary["variants"]][-1] == "learning_rate=0.01"
    assert summary["variants"][0]["val"]["n"] == 2


def test_example_goes_on_after_a_stop_with_the_result_of_an_undisturbed_run(here: Path) -> None:
    config = {"task": "line_task:LineTask", "code_path": str(here)}
    whole, stopped = (write_run(here / "e", name, config=config, epochs=300) for name in ("whole", "stopped"))
    subprocess.run(parent_command(whole), env=environment(), check=True, capture_output=True)
    parent = subprocess.Popen(parent_command(stopped), env=environment(), stdout=subprocess.DEVNULL)
    wait_until(lambda: len(read_json_lines(stopped.metrics)) > 10, what="some epochs")
    parent.send_signal(signal.SIGTERM)
    parent.wait(20)
    assert read_json(stopped.result) is None
    subprocess.run(parent_command(stopped), env=environment(), check=True, capture_output=True)
    lines = [[(line["epoch"], line["val_mae"]) for line in read_json_lines(run.metrics)] for run in (whole, stopped)]
    assert lines[0] == lines[1]
    assert {line["attempt"] for line in read_json_lines(stopped.metrics)} == {1, 2}


def test_page_names_every_key_of_a_command() -> None:
    keys = [*MetricsParams.model_fields, *FusionParams.model_fields, *PredictionsParams.model_fields]
    for page, fields in ((PAGE, [*CommandSection.model_fields]), (READING, keys)):
        assert [key for key in fields if not re.search(rf"\b{key.rstrip('_')}\b", page)] == []
    assert [name for name in OURS if f"{{{name}}}" not in PAGE] == []


def test_mappings_of_the_page_about_any_program_are_valid() -> None:
    shown = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", READING, re.DOTALL)[0])
    command = CommandSection.model_validate(shown["params"]["command"])
    assert [place for place in command.metrics.places if place.is_given] == command.metrics.sources
    for text in re.findall(r"\| `(\{.*?\})` \|\n", READING):
        MetricsParams.model_validate({"follow": "val_mae", **yaml.safe_load(text)})
    assert [name for name in PRESETS if f"`{name}`" not in READING] == []
