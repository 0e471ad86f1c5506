"""A task of the user's declares its quantities: columns, health, report follow, also where its class is not at hand."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path

import pytest

from analysis_command import analysis_command
from runner.health.judgement import Ending, Logs, finished_findings, live_findings
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
    monkeypatch.syspath_prepend(tmp_path)  # before the folders of earlier tests, whose class has the same name
    monkeypatch.delitem(sys.modules, "springs_task", raising=False)
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


@pytest.mark.parametrize("name", ["../../out", "a/b", "", "a\0b", "\x1b[2J", "x" * 61, "-a", "a\n"])
def test_a_name_that_leads_elsewhere_is_refused_and_left_out_of_a_foreign_manifest(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a quantity"):
        Quantity(name)
    assert read_quantities([{"name": name}, {"name": "g_a", "group": name or "/"}, {"name": "a"}]) == (Quantity("a"),)


def test_a_hostile_manifest_writes_no_figure_outside(folder: Path, analysis) -> None:
    assert run("submit", "springs.yaml", "--wait").status == 0
    manifest = folder / "runs" / "springs" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["quantities"] = [{"name": "share_bulk", "group": "../../../../planted"}, {"name": "seeds"}]
    manifest.write_text(json.dumps(content))
    status, _, err = analysis("summarize", manifest.parent)
    assert status == 0, err
    assert not list(folder.rglob("planted*"))
    header = (manifest.parent / "analysis" / "results_summary.csv").read_text().splitlines()[0].split(",")
    assert header.count("seeds") == 1


@pytest.mark.parametrize(
    ("returned", "words"), [("[{'name': 'a'}]", "is no Quantity"), ("[Quantity('a/b')]", "cannot name a quantity")]
)
def test_a_wrong_declaration_is_one_message(folder: Path, returned: str, words: str) -> None:
    changed = TASK.replace("return [\n", f"return {returned}\n        return [\n")
    (folder / "springs_task.py").write_text(changed)
    said = run("expand", "springs.yaml")
    assert said.status == 2
    assert words in said.err
    assert "Springs" in said.err


def test_a_threshold_of_ours_stays_ours() -> None:
    thresholds = overridden({"ratio_low": 2.0}, quantities=[Quantity("ratio", low=7)])
    assert (thresholds.ratio_low, thresholds.quantities[0].low) == (2.0, 7)


def test_what_a_run_logs_by_epoch_alone_is_judged_at_its_end_as_while_it_trained() -> None:
    thresholds = overridden({}, quantities=[Quantity("stiffness", low=10)])
    logs = Logs(history=[{"epoch": 1, "stiffness": 3.0}])
    rules = [[f.rule for f in judge] for judge in (live_findings(logs, thresholds=thresholds),
             finished_findings(logs, Ending(), thresholds=thresholds))]  # fmt: skip
    assert rules == [["stiffness_low"], ["stiffness_low"]]


def test_members_of_a_group_share_their_limits() -> None:
    group = (Quantity("g_a", group="g", low=0.1), Quantity("g_b", group="g"), Quantity("h", low=1))
    assert [each.low for each in with_limits(group, {"g_low": 0.2})] == [0.2, 0.2, 1]
    assert overridden({"h_low": 5}, quantities=group).quantities[2].low == 5
