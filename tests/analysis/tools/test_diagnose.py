"""Looking into trained models: what is measured, the verdict, and what is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.tools.diagnose import balancing_scale, diagnose
from jobs.tasks.crystal.tools.inspection import gates, quantities, sampled
from jobs.tasks.crystal.tools.load_run import open_run
from runner.health.thresholds import DEFAULT
from runner.rundir.layout import ExperimentDir
from trained_experiment import DYNAMIC, MIDDLE, train

torch.set_num_threads(1)
HEALTHY = {"norm_ratio": 1.0, "cosine": 0.6, "relative_change": 0.2, "gate_mean": 0.5}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> ExperimentDir:
    models = {"middle": {"middle_fusion": MIDDLE}, "dynamic": {"middle_fusion": DYNAMIC}, "graph_only": {}}
    models["gated"] = {"late_fusion": {"name": "gated_cross_attention", "num_heads": 2, "hidden_dim": 8}}
    return train(tmp_path_factory.mktemp("root") / "small", cache, models)


def test_validation_quantities_are_those_that_the_run_logged(experiment: ExperimentDir, cache: Path) -> None:
    run = experiment.run("middle-s0-00000000")
    logged = json.loads(run.result.read_text())["fusion"]
    found = quantities(open_run(run, cache))["val"]
    assert found.keys() == logged.keys() == {"1", "2"}
    for layer, values in logged.items():
        assert found[layer].pop("mae") == pytest.approx(json.loads(run.result.read_text())["metrics"]["val_mae"])
        assert found[layer] == pytest.approx(values, rel=1e-5)


def test_samples_are_spread_over_a_split_and_never_of_test(experiment: ExperimentDir, cache: Path) -> None:
    learner = open_run(experiment.run("middle-s0-00000000"), cache)
    assert sampled(learner, "val", 3).tolist() == [16, 20, 23]
    assert len(sampled(learner, "train", None)) == 16
    with pytest.raises(ValueError, match="split 'test'; allowed: train, val"):
        sampled(learner, "test", 3)


def test_gates_are_those_of_every_atom(experiment: ExperimentDir, cache: Path) -> None:
    learner = open_run(experiment.run("middle-s0-00000000"), cache)
    positions = sampled(learner, "val", None)
    found = gates(learner, positions)
    logged = json.loads((experiment.run("middle-s0-00000000").result).read_text())["fusion"]
    weight = learner.corpus.items(positions).graph.atom_weight.numpy()
    for its in found:
        assert its.values.shape == (len(weight), 16)
        assert np.average(its.values.mean(1), weights=weight) == pytest.approx(logged[its.layer]["gate_mean"], rel=1e-5)


def params_of(name: str, **options: object) -> dict[str, object]:
    fusion = {"name": name, "layers": [1, 2], "dropout": 0.1, **options}
    return {"model": {"middle_fusion": fusion}, "train": {"contrastive_weight": 0.0, "learning_rate": 1e-3}}


SCALED = params_of("middle", initial_scale=1.0, gate_norm=False)


def test_unequal_sizes_are_information_with_the_scale_that_balances_them() -> None:
    found = diagnose({"2": {**HEALTHY, "norm_ratio": 12.6, "cosine": 0.1, "text_scale": 1.0}}, SCALED, DEFAULT)
    assert (found.level, found.verdict) == ("ok", "healthy: no quantity is beyond its threshold")
    assert found.next_step == "model.middle_fusion.initial_scale: 12.6 would balance the sizes"
    assert found.initial_scale == pytest.approx(12.6)


@pytest.mark.parametrize(
    ("changed", "verdict", "next_step"),
    [
        ({"relative_change": 0.01}, "layer 1: the fusion is idle", "larger model.middle_fusion.initial_scale"),
        ({"relative_change": 0.9}, "layer 1: the text drowns the graph", "smaller model.middle_fusion.initial_scale"),
        ({"gate_std": 0.01, "gate_min": 0.45, "gate_max": 0.5}, "layer 1: alpha is flat", "gate_norm: true"),
        ({"cosine": 0.1}, "healthy", ""),
        ({}, "healthy", ""),
    ],
)
def test_the_first_thing_wrong_is_the_verdict(changed, verdict, next_step) -> None:
    found = diagnose({"1": HEALTHY | changed}, SCALED, DEFAULT)
    assert found.verdict.startswith(verdict)
    assert next_step in found.next_step


def test_what_stands_below_a_verdict_is_named_behind_it() -> None:
    values = HEALTHY | {"relative_change": 0.9, "ratio": 2.0, "contribution_ratio": 1.0}
    found = diagnose({"1": values}, SCALED, DEFAULT)
    assert found.verdict.endswith("more than 50 %; also ratio_low in layer 1")
    assert found.level == "blocking"


def test_one_scale_balances_all_layers_on_the_whole() -> None:
    layers = {"1": {"norm_ratio": 2.0, "text_scale": 3.0}, "2": {"norm_ratio": 8.0, "text_scale": 3.0}}
    assert balancing_scale(layers, DEFAULT) == pytest.approx(12.0)
    assert balancing_scale({"1": {"norm_ratio": 1.1}}, DEFAULT) is None
    assert diagnose({"1": {"norm_ratio": 9.0}}, params_of("dynamic"), DEFAULT).initial_scale is None


def test_a_run_is_diagnosed_and_files_written(experiment, printed) -> None:
    run = experiment.run("middle-s0-00000000")
    out = printed("diagnose", run.path, "--samples", "4")
    assert out.startswith("middle-s0-00000000: ")
    content = json.loads(run.diagnosis.read_text())
    assert content["crystals"] == {"train": 4, "val": 4}
    assert set(content["layers"]["val"]["1"]) >= {"norm_ratio", "t_norm", "u_norm", "cosine", "relative_change"}
    assert content["verdict"] in out
    assert run.figure("diagnosis.svg").read_text().startswith("<svg")


def test_an_experiment_is_diagnosed_by_variant_without_those_that_read_no_text(experiment, analysis) -> None:
    content = json.loads(analysis("diagnose", experiment.path, "--format", "json")[1])
    assert {row["run_id"] for row in content["verdicts"]} == {
        "middle-s0-00000000",
        "dynamic-s0-00000000",
        "gated-s0-00000000",
    }
    assert {(row["layer"], row["split"]) for row in content["layers"] if row["run"].startswith("dynamic")} == {
        ("2", "train"),
        ("2", "val"),
    }


def test_gates_are_diagnosed_beside_error_and_instability(experiment, analysis) -> None:
    run = experiment.run("gated-s0-00000000")
    header = "epoch,layer,gate_mean\n"
    run.fusion_weights.write_text(header + "".join(f"{i},late,{0.1 * i}\n" for i in (1, 2, 3)))
    out = analysis("diagnose", run.path, "--samples", "4", "--format", "csv")[1]
    assert all(word in out.splitlines()[0] for word in ("quality", "fusion_gate", "mae", "instability"))
    late = json.loads(run.diagnosis.read_text())["layers"]["val"]["late"]
    assert late["gate_mean"] == pytest.approx(late["quality"] * late["fusion_gate"], rel=0.1)
    assert late["instability"] == pytest.approx(0.1 * (2 / 3) ** 0.5)
    assert "instability of the gate" in run.figure("diagnosis.svg").read_text()


def test_a_run_of_another_variant_is_named_as_runner_names_it(experiment, analysis) -> None:
    out = analysis("diagnose", "dyn", "-e", experiment.path, "--format", "csv")[1]
    assert {line.split(",")[0] for line in out.splitlines()[1:]} == {"dynamic-s0-00000000"}


def rescaled(experiment: ExperimentDir, tmp_path: Path, analysis) -> tuple[Path, ExperimentDir]:
    """A copy of the experiment with a rescaled checkpoint beside the one of its first run."""
    copy = ExperimentDir(shutil.copytree(experiment.path, tmp_path / "copy"))
    best = copy.run("middle-s0-00000000").best_checkpoint
    new = best.with_name("half.pt")
    assert analysis("rescale", best, "--factor", "0.5", "--to", new)[0] == 0
    return new, copy


@pytest.mark.parametrize("words", [["--checkpoint"], []])
def test_a_checkpoint_is_diagnosed_in_its_own_run_and_under_its_own_name(
    experiment, printed, analysis, tmp_path, monkeypatch, words
) -> None:
    monkeypatch.setenv("RUNNER_ROOT", str(experiment.path.parent))  # where another experiment is the newest
    new, copy = rescaled(experiment, tmp_path, analysis)
    run = copy.run("middle-s0-00000000")
    before = {path: path.read_bytes() for path in tmp_path.parent.rglob("diagnosis*.json")}
    assert printed("diagnose", *words, new, "--samples", "4").startswith("middle-s0-00000000: ")
    assert json.loads(run.figure("diagnosis-half.json").read_text())["checkpoint"] == "half.pt"
    assert {path: path.read_bytes() for path in before} == before


def test_best_checkpoint_is_diagnosed_as_its_run_is(experiment, analysis, tmp_path) -> None:
    copy = ExperimentDir(shutil.copytree(experiment.path, tmp_path / "copy"))
    run = copy.run("dynamic-s0-00000000")
    assert analysis("diagnose", run.best_checkpoint, "--samples", "4")[0] == 0
    assert json.loads(run.diagnosis.read_text())["run_id"] == run.run_id


def test_a_checkpoint_of_another_run_is_refused(experiment, refused) -> None:
    other = experiment.run("dynamic-s0-00000000").best_checkpoint
    words = ["middle-s0-00000000", "-e", experiment.path, "--checkpoint", other]
    for command in ("diagnose", "alpha"):
        assert "belongs to the run dynamic-s0-00000000, not to middle-s0-00000000" in refused(2, command, *words)


def test_a_checkpoint_that_lies_nowhere_is_said(refused, tmp_path) -> None:
    (tmp_path / "new.pt").write_bytes(b"")
    for words in (["diagnose", "--checkpoint"], ["diagnose"], ["alpha"]):
        assert "lies in no run directory" in refused(2, *words, tmp_path / "new.pt")


def test_alpha_of_a_rescaled_model_has_files_of_its_own(experiment, printed, analysis, tmp_path) -> None:
    new, copy = rescaled(experiment, tmp_path, analysis)
    run = copy.run("middle-s0-00000000")
    printed("alpha", run.path, "--checkpoint", new, "--samples", "3")
    assert run.figure("alpha-half.csv").exists()
    assert run.figure("alpha_histogram-half.png").exists()
    assert not run.figure("alpha_histogram.png").exists()


def test_two_models_are_compared_by_their_fused_layers_too(experiment, printed, analysis, tmp_path) -> None:
    new, copy = rescaled(experiment, tmp_path, analysis)
    run = copy.run("middle-s0-00000000")
    out = printed("compare", run.path, new, "--format", "json")
    pairs = {(pair["layer"], pair["quantity"]): pair for pair in json.loads(out)["fusion"]}
    assert {("1", "contribution_ratio"), ("1", "cosine"), ("2", "gate_mean")} <= pairs.keys()
    norm = pairs["1", "norm_ratio"]
    assert norm["second"] == pytest.approx(2 * norm["first"], rel=1e-3)
    assert "fused layers on the validation crystals" in analysis("compare", run.path, new)[1]
