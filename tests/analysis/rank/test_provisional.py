"""While a run that could still win is missing, the choice is provisional and nothing is built on it."""

import json

import pytest

from analysis.output.sections import choice
from analysis.rank.summary import summarize
from experiment_factory import NOW, Plan, PlannedVariant, write_experiment

DONE = PlannedVariant("2", error=0.100)


def summary_of(tmp_path, *variants, **plan):
    return summarize(write_experiment(tmp_path, Plan(variants, **plan)), now=NOW)


def said(summary):
    return [line.text for line in choice(summary)]


def purposes(summary):
    return [step.purpose for step in summary.steps]


@pytest.mark.parametrize("state", ["new", "running", "lost", "failed"])
def test_a_missing_run_that_could_win_makes_the_choice_provisional(tmp_path, state):
    summary = summary_of(tmp_path, DONE, PlannedVariant("3", error=0.12, states={1: state}))
    assert summary.provisional
    assert said(summary)[0] == "Provisional: runs are missing of variants that could still win (3)."
    assert "train the best in full" not in purposes(summary)


def test_nothing_is_promoted_while_the_choice_is_provisional(tmp_path):
    following = {"next": {"config": "x.yaml", "top": 1}}
    waiting = summary_of(tmp_path / "a", DONE, PlannedVariant("3", states={1: "new"}), manifest=following)
    assert "write the next stage" not in purposes(waiting)
    assert "write the next stage" in purposes(summary_of(tmp_path / "b", DONE, manifest=following))


def test_a_complete_experiment_is_not_provisional(tmp_path):
    summary = summary_of(tmp_path, DONE, PlannedVariant("3", error=0.2))
    assert not summary.provisional
    assert "train the best in full" in purposes(summary)
    assert said(summary)[0].startswith("Take 2")


@pytest.mark.parametrize(("error", "could_win"), [(0.15, True), (0.1574, True), (0.1576, False)])
def test_seeds_that_are_too_bad_already_are_not_waited_for(tmp_path, error, could_win):
    """Two seeds of three with 0.1575 and a perfect third make 0.105: 5 % above the best."""
    summary = summary_of(tmp_path, DONE, PlannedVariant("3", error=error, states={1: "running"}))
    assert summary.provisional == could_win
    assert ("Not considered, because seeds are missing: 3." in said(summary)) != could_win


@pytest.mark.parametrize(
    ("metric", "best", "value", "could_win"),
    [
        ("val_acc", 0.99, 0.984, False),  # a score can rise to one at most
        ("val_acc", 0.99, 0.985, True),
        ("val_loss", 0.1, 9.0, True),  # a metric without a bound is waited for
    ],
)
def test_what_bounds_a_metric_says_what_is_waited_for(tmp_path, metric, best, value, could_win):
    waiting = PlannedVariant("3", metrics={metric: value}, states={1: "new"})
    plan = {"manifest": {"select": {"metric": metric, "mode": "max" if metric == "val_acc" else "min"}}}
    assert summary_of(tmp_path, PlannedVariant("2", metrics={metric: best}), waiting, **plan).provisional == could_win


def ended(path, content, name):
    run = sorted(path.glob("runs/3-*"))[1]
    (run / name).write_text(json.dumps(content))
    return summarize(path, now=NOW)


def test_a_diverged_or_cancelled_run_is_not_waited_for(tmp_path):
    plan = Plan([DONE, PlannedVariant("3", states={1: "failed"})])
    failure = {"kind": "diverged", "message": "loss = nan", "attempt": 1, "time": NOW - 10}
    assert not ended(write_experiment(tmp_path / "a", plan), failure, "failure.json").provisional
    plan = Plan([DONE, PlannedVariant("3", states={1: "lost"})])
    path = write_experiment(tmp_path / "b", plan)
    for file in sorted(path.glob("runs/3-*"))[1].glob("*"):
        file.unlink()
    assert not ended(path, {"time": NOW}, "cancelled.json").provisional


def test_a_run_without_the_metric_is_not_waited_for(tmp_path):
    path = write_experiment(tmp_path, Plan([DONE, PlannedVariant("3")]))
    result = sorted(path.glob("runs/3-*"))[1] / "result.json"
    result.write_text(result.read_text().replace('"val_mae"', '"val_x"'))
    assert not summarize(path, now=NOW).provisional
