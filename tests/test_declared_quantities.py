"""A task of the user's declares its quantities: columns, health, report follow, also where its class is not at hand."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from analysis_command import analysis_command
from runner.health.quantities import Quantity, as_data, read_quantities, with_limits
from runner.health.thresholds import overridden
from runner.rundir.layout import ExperimentDir
from runner_main import run
from tiny_experiment import TESTS

TASK = """\
from runner.health.quantities import Quantity
from tiny_task import TinyTask


class Springs(TinyTask):
    def quantities(self, params):
        return [
            Quantity("stiffness", unit="GPa", low=10, below="the crystal is soft: stiffness",
                     below_advice="a smaller strain.step"),
            Quantity("share_bulk", group="share", unit="%", high=0.9),
            Quantity("share_surface", group="share", unit="%"),
        ]

    def run(self, params, context):
        outcome = super().run(params, context)
        outcome.metrics["stiffness"] = 4.0 * params.train.epochs
        outcome.fusion["parts"] = {"share_bulk": 0.95, "share_surface": 0.05}
        return outcome
"""
CONFIG = """\
experiment: springs
task: springs_task:Springs
matrix: {axes: {train.epochs: [2, 3]}, seeds: [0]}
select: {metric: val_loss}
"""


@pytest.fixture
def analysis(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    return analysis_command(monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(TESTS / "tiny_task.py", tmp_path)
    (tmp_path / "springs_task.py").write_text(TASK)
    (tmp_path / "springs.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_fourth_task_has_columns_health_and_report_without_its_class(folder: Path, analysis) -> None:
    sent = run("submit", "springs.yaml", "--wait")
    assert sent.status == 0, sent.err
    status = json.loads(run("status", "springs", "--format", "json").out)
    assert {row["health"] for row in status["runs"]} == {"warning"}  # judged by the worker, as by the summary below
    (folder / "springs_task.py").unlink()
    shutil.move(folder / "runs", folder / "copied")
    directory = ExperimentDir(folder / "copied" / "springs")
    status, out, err = analysis("summarize", directory.path, "-v")
    assert status == 0, err
    assert "the crystal is soft: stiffness 8 is below 10" in out
    assert "a smaller strain.step" in out
    rows = {row["variant"]: row for row in csv.DictReader(directory.summary_csv.read_text().splitlines())}
    assert [float(rows[name]["stiffness"]) for name in ("epochs=2", "epochs=3")] == [8, 12]
    assert float(rows["epochs=2"]["share_surface"]) == pytest.approx(0.05)
    page = directory.report.read_text()
    assert "12 GPa" in page
    assert "bulk 95 %, surface 5 %" in page


def test_its_thresholds_are_overridden_by_name_and_a_wrong_name_is_refused(folder: Path) -> None:
    assert run("expand", "springs.yaml", "--set", "health.share_high=0.99").status == 0
    said = run("expand", "springs.yaml", "--set", "health.stifness_low=3")
    assert said.status == 2
    assert "stiffness_low" in said.err


def test_quantities_survive_the_manifest_and_damaged_ones_are_left_out() -> None:
    declared = (Quantity("a", unit="eV", low=-1.5, below="cold"), Quantity("g_b", group="g", column=False))
    assert read_quantities(json.loads(json.dumps(as_data(declared)))) == declared
    damaged = [{"name": "a", "low": "x", "unit": 3, "high": 2, "colour": "red"}, {"low": 1}, 7, None]
    assert read_quantities(damaged) == (Quantity("a", high=2),)
    assert [read_quantities(other) for other in (None, {}, "x")] == [(), (), ()]


def test_members_of_a_group_share_their_limits() -> None:
    group = (Quantity("g_a", group="g", low=0.1), Quantity("g_b", group="g"), Quantity("h", low=1))
    assert [each.low for each in with_limits(group, {"g_low": 0.2})] == [0.2, 0.2, 1]
    assert overridden({"h_low": 5}, quantities=group).quantities[2].low == 5
