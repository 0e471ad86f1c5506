"""What ranks the variants comes from the task and the experiment file, which must agree."""

import json
from pathlib import Path

import pytest

from analysis.collect.manifest import read_manifest
from analysis.rank.summary import summarize
from experiment_factory import NOW, Plan, PlannedVariant, write_experiment
from runner.commands.expand import lines
from runner.commands.loading import load
from runner.errors import ConfigError
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir

COMMAND = """\
experiment: e
task: command
params:
  command:
    run: "true {rate} {seed}"
    metrics: METRICS
matrix: {axes: {values.rate: [1, 2]}}
"""


def loaded(tmp_path: Path, text: str):
    path = tmp_path / "e.yaml"
    path.write_text(text)
    return load(path, tmp_path)


def of_command(tmp_path: Path, metrics: str, select: str = ""):
    text = COMMAND.replace("METRICS", metrics) + (f"select: {select}\n" if select else "")
    select_found = loaded(tmp_path, text).experiment.select
    return select_found.metric, select_found.mode


ACCURACY = "{file: log.csv, follow: val_acc, mode: max}"


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        *(
            (select, ("val_acc", "max"))
            for select in ("", "{metric: val_acc}", "{mode: max}", "{metric: val_acc, mode: max}")
        ),
        ("{metric: val_f1}", ("val_f1", "max")),  # another metric than the followed one may rank
        ("{metric: val_quality, mode: min}", ("val_quality", "min")),
    ],
)
def test_a_command_is_ranked_as_its_metrics_and_the_file_say(tmp_path: Path, select: str, expected) -> None:
    assert of_command(tmp_path, ACCURACY, select) == expected


def test_the_best_accuracy_is_taken_and_not_the_worst(tmp_path: Path) -> None:
    experiment = loaded(tmp_path, COMMAND.replace("METRICS", ACCURACY) + "select: {metric: val_acc}\n")
    directory = ExperimentDir(tmp_path / "made")
    directory.path.mkdir()
    manifest.write(directory, experiment.expansion, "command")
    select = json.loads(directory.manifest.read_text())["select"]
    variants = [PlannedVariant(name, metrics={"val_acc": value}) for name, value in (("low", 0.6), ("high", 0.9))]
    summary = summarize(write_experiment(tmp_path, Plan(variants, manifest={"select": select})), now=NOW)
    assert summary.choice.variant == "high"
    assert [variant.name for variant in summary.variants] == ["high", "low"]


@pytest.mark.parametrize(
    ("metrics", "select", "message"),
    [
        ("{file: l.csv, follow: val_acc}", "", r"e.yaml:6: .*metrics.mode: min of val_acc, .* worst epoch"),
        ("{file: l.csv, follow: val_auc, mode: min}", "{mode: max}", r"e.yaml:6: .*metrics.mode: min of val_auc"),
        (ACCURACY, "{mode: min}", r"e.yaml:8: select.mode: found min, but the task says that val_acc is better"),
        (ACCURACY, "{metric: val_f1, mode: min}", r"e.yaml:8: select.mode: min of val_f1, .* worst variant"),
        ("{file: l.csv}", "{mode: max}", r"select.mode: found max, but the task says that val_mae"),
        (ACCURACY, "{metric: val_quality}", r"select.mode: missing; neither the task nor its name says"),
        ("{file: l.csv, names: {val_mae: 1}}", "{metric: val_rmse, mode: min}",
         r"select.metric: found 'val_rmse', which the task never reports\n    allowed: val_mae"),
        ("{pattern: '(?P<val_mae>.*) (?P<val_rms>.*)'}", "{metric: val_rmse}",
         r"which the task never reports\n    allowed: val_mae, val_rms\n    did you mean: val_rms"),
        ("{file: l.csv, names: {val_loss: 1}}", "", r"metrics.follow: found 'val_mae', which is not among the metrics"),
    ],
)  # fmt: skip
def test_contradictions_and_unreported_metrics_are_refused(tmp_path: Path, metrics, select, message) -> None:
    with pytest.raises(ConfigError, match=message):
        of_command(tmp_path, metrics, select)


CRYSTAL = (
    "experiment: e\nparams: {data: {dataset: mp6k, target: formation_energy_peratom, train: 50, val: 9, test: 9%s}}\n"
)
CLASSES = ", classify: {threshold: 0}}, train: {loss: bce"


@pytest.mark.parametrize(
    ("classify", "select", "expected"),
    [
        ("", "", ("val_mae", "min")),
        ("", "select: {metric: val_rmse}", ("val_rmse", "min")),
        (CLASSES, "", ("val_bce", "min")),
        (CLASSES, "select: {metric: val_auc}", ("val_auc", "max")),
    ],
)
def test_the_crystal_task_says_which_end_of_its_metrics_is_good(tmp_path: Path, classify, select, expected) -> None:
    found = loaded(tmp_path, CRYSTAL % classify + select).experiment.select
    assert (found.metric, found.mode) == expected


@pytest.mark.parametrize(
    ("classify", "select", "message"),
    [
        ("", "{metric: val_mse}", r"e.yaml:3: select.metric: found 'val_mse', which the task never reports"),
        ("", "{mode: max}", r"e.yaml:3: select.mode: found max, but the task says that val_mae is better the smaller"),
        (CLASSES, "{metric: val_mae}", r"allowed: val_accuracy, val_ap, val_auc, val_bce, val_f1"),
        (CLASSES, "{metric: val_f1, mode: min}", r"found min, but the task says that val_f1 is better the larger"),
    ],
)
def test_the_crystal_task_refuses_what_it_does_not_report(tmp_path: Path, classify, select, message) -> None:
    with pytest.raises(ConfigError, match=message):
        loaded(tmp_path, CRYSTAL % classify + f"select: {select}")


def test_set_is_blamed_for_a_mode_that_it_gave(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(COMMAND.replace("METRICS", ACCURACY))
    with pytest.raises(ConfigError, match=r"--set select.mode=min: select.mode: found min"):
        load(tmp_path / "e.yaml", tmp_path, ["select.mode=min"])


def test_expand_says_what_ranks(tmp_path: Path) -> None:
    assert "ranked by val_acc, the larger the better" in lines(loaded(tmp_path, COMMAND.replace("METRICS", ACCURACY)))


def test_a_manifest_that_takes_the_worst_is_refused(tmp_path: Path) -> None:
    plan = Plan([PlannedVariant("2")], manifest={"select": {"metric": "val_acc", "mode": "min"}})
    with pytest.raises(ConfigError, match=r"manifest.json: select.mode: min of val_acc"):
        read_manifest(ExperimentDir(write_experiment(tmp_path, plan)))
