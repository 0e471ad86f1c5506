"""The commands that `analysis summarize` proposes do what was submitted, and nothing else."""

import json
import shlex
from itertools import pairwise

import pytest

from analysis.rank.summary import summarize
from experiment_factory import NOW, Plan, PlannedVariant, write_experiment

FULL = "train the best in full"
SEEDS = "train more seeds, before a difference is claimed"


def commands(path):
    return {step.purpose: shlex.split(step.command) for step in summarize(path, now=NOW).steps}


def submitted(path, overrides=(), cluster_option=None):
    record = {"submission": 1, "event": "begun", "kind": "local", "time": NOW, "overrides": list(overrides),
              "cluster": "local", "folder": "/", "cluster_option": cluster_option}  # fmt: skip
    (path / "submissions.jsonl").write_text(json.dumps(record) + "\n")


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNNER_ROOT", str(tmp_path))
    return write_experiment(tmp_path, Plan([PlannedVariant("2"), PlannedVariant("3", 0.2)]))


def test_a_full_training_keeps_the_options_of_the_submission(path):
    submitted(path, ["model.encoder.hidden=16", "train.epochs=2"], "gpu.yaml")
    words = commands(path)[FULL]
    sets = [word for before, word in pairwise(words) if before == "--set"]
    assert sets[:2] == ["model.encoder.hidden=16", "train.epochs=2"]
    assert sets.index("train.epochs=2") < sets.index("params.train.epochs=100")  # the last one holds
    assert words[words.index("--cluster") + 1] == "gpu.yaml"


def test_without_options_none_are_made_up(path):
    words = commands(path)[FULL]
    assert "--cluster" not in words
    assert "--root" not in words
    assert words.count("--set") == 5


def test_what_is_missing_is_sent_into_the_same_experiment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RUNNER_ROOT", raising=False)
    path = write_experiment(tmp_path / "elsewhere", Plan([PlannedVariant("2", states={0: "new"})]))
    submitted(path, ["experiment=stage1"])
    words = commands(path)["send what is missing"]
    assert words[3:] == ["--set", "experiment=stage1", "--root", str(tmp_path / "elsewhere")]


def test_the_copy_of_the_submission_stands_for_a_file_that_is_not_here(path):
    (path / "submissions" / "12").mkdir(parents=True)
    (path / "submissions" / "12" / "experiment.yaml").write_text("experiment: stage1\n")
    assert commands(path)[FULL][2] == str(path / "submissions/12/experiment.yaml")


@pytest.mark.parametrize(
    ("seeds", "more"), [([0], "[0, 1, 2]"), ([5], "[5, 0, 1]"), ([0, 7], "[0, 7, 1]"), ([0, 1, 2], None)]
)
def test_fewer_than_three_seeds_propose_more_before_anything_is_built_on_them(tmp_path, seeds, more):
    path = write_experiment(tmp_path, Plan([PlannedVariant("2"), PlannedVariant("3", 0.2)], seeds=seeds))
    steps = commands(path)
    assert (f"matrix.seeds={more}" in steps.get(SEEDS, [])) == (more is not None)
    if more:
        assert list(steps).index(SEEDS) < list(steps).index(FULL)


def test_one_variant_alone_needs_no_more_seeds(tmp_path):
    assert SEEDS not in commands(write_experiment(tmp_path, Plan([PlannedVariant("2")], seeds=[0])))


def test_after_a_search_the_best_is_trained_without_it(tmp_path):
    search = {"rounds": [{"rung": 0, "seeds": 1}], "seeds": 1}
    plan = Plan([PlannedVariant("2"), PlannedVariant("3", 0.2)], seeds=[0], manifest={"search": search})
    path = write_experiment(tmp_path, plan)
    assert summarize(path, now=NOW).search == ("search: round 1 of 1 (1 seed), 2 points in the race: 2; 3",)
    steps = commands(path)
    assert SEEDS not in steps  # a matrix that has changed would be refused
    assert "search=null" in steps[FULL]


def test_two_seeds_of_six_variants_are_enough(tmp_path):
    variants = [PlannedVariant(str(number), 0.1 + number / 10) for number in range(6)]
    plan = Plan(variants, seeds=[0, 1], crystal_noise=0.02, seed_noise=0.01, manifest={"baseline": "5"})
    path = write_experiment(tmp_path / "six", plan)
    assert SEEDS not in commands(path)
    first = summarize(path, now=NOW).baseline[0]
    assert first.interval.pooled
    assert first.verdict == "beyond the noise"
    five = write_experiment(tmp_path / "five", Plan(variants[1:], seeds=[0, 1], manifest={"baseline": "5"}))
    assert SEEDS in commands(five)
    assert summarize(five, now=NOW).baseline[0].verdict.startswith("indicative")
