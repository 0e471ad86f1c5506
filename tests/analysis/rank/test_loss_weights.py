"""The verdict on a search over loss weights, guidance in health and report, results.json, best_config.yaml."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from analysis.output.records import csv_rows
from analysis.rank.loss_weights import Point, axis_effect, verdict
from analysis.rank.refinement import best_config
from analysis.rank.summary import summarize
from experiment_factory import Plan, PlannedVariant, write_experiment
from jobs.tasks.sentiment.task import QUANTITIES as DECLARED
from runner.commands.loading import load
from runner.health.judgement import declared_findings
from runner.health.quantities import as_data
from runner.health.thresholds import overridden
from runner.rundir.layout import ExperimentDir

PARTS = {"loss.delta_va": "distillation", "loss.delta_nce": "contrast"}
VA, NCE = (0.1, 0.3, 0.5, 1.0), (0.001, 0.01, 0.1)


def grid(value: Any, noise: float = 0.001, seeds: tuple[int, ...] = (0,)) -> list[Point]:
    """Points of a full grid with val = value(δ_va, δ_nce) and noise of a fixed seed."""
    random = np.random.default_rng(0)
    return [
        Point({"loss.delta_va": va, "loss.delta_nce": nce}, seed, value(va, nce) + noise * random.standard_normal())
        for va in VA
        for nce in NCE
        for seed in seeds
    ]


def say(points: list[Point]) -> Any:
    return verdict(points, PARTS, "val_mse", "min")


@pytest.mark.parametrize(
    ("value", "noise", "word", "place", "sentence"),
    [
        (
            lambda va, nce: 1 + 0.2 * abs(va - 0.5),
            0.001,
            "distillation-led",
            "best at 0.5, inside 0.1 to 1",
            "distillation-led: loss.delta_va is the weight to search",
        ),
        (
            lambda va, nce: 1 + 2 * nce + 0.01 * va,
            0.001,
            "contrast-led",
            "best at 0.001, the lowest tried",
            "contrast-led: loss.delta_nce is the weight to search",
        ),
        (
            lambda va, nce: 1 + 0.1 * va + nce,
            0.001,
            "balance-led",
            "best at 0.001, the lowest tried",
            "balance-led: no weight moves the metric twice as much",
        ),
        (lambda va, nce: 1.0, 0.05, "undecided", "", "undecided: no weight moves the metric beyond the noise"),
    ],
)
def test_the_verdict_is_that_of_the_planted_effect(value, noise, word, place, sentence) -> None:
    found = say(grid(value, noise))
    assert found.verdict == word
    assert found.sentences[0].startswith(sentence)
    assert not place or found.effects[0].place == place


def test_an_axis_has_its_effect_and_the_other_stays_inside_the_noise() -> None:
    first, second = say(grid(lambda va, nce: 1 + 0.2 * abs(va - 0.5))).effects
    assert (first.axis, first.best, first.effect) == ("loss.delta_va", 0.5, pytest.approx(0.1, abs=0.01))
    assert first.p < 1e-6
    assert second.p > 0.05
    assert "inside the noise" in second.sentence("val_mse")


def test_seeds_tell_noise_from_effect_where_few_pairs_were_tried() -> None:
    pairs = [(0.3, 0.001, 1.0), (0.5, 0.001, 0.9), (0.3, 0.01, 1.0)]
    points = [
        Point({"loss.delta_va": va, "loss.delta_nce": nce}, seed, value + 0.02 * seed + 0.001 * ((seed * 7 + at) % 3))
        for at, (va, nce, value) in enumerate(pairs)
        for seed in range(3)
    ]
    found = say(points)
    assert found.verdict == "distillation-led"
    assert found.effects[0].p < 0.01
    alone = say([point for point in points if point.seed == 0])
    assert [effect.p for effect in alone.effects] == [None, None]
    assert "noise unknown" in alone.sentences[1]


def test_hand_picked_pairs_are_compared_only_where_one_weight_differs() -> None:
    pairs = {(0.3, 0.001): 1.0, (0.5, 0.001): 0.8, (0.2, 0.001): 1.1, (0.3, 0.01): 1.0, (0.8, 0.05): 9.0}
    points = [Point({"loss.delta_va": va, "loss.delta_nce": nce}, 0, value) for (va, nce), value in pairs.items()]
    effect = axis_effect(points, "loss.delta_va", "distillation", "min")
    assert effect.tried == (0.2, 0.3, 0.5)
    assert effect.effect == pytest.approx(0.3 / 0.8)


def test_where_no_weight_differs_alone_there_is_no_verdict() -> None:
    apart = [Point({"loss.delta_va": x, "loss.delta_nce": x}, 0, x) for x in (0.1, 0.2)]
    assert say(apart) is None
    assert say([Point({"model.width": width}, 0, 1.0) for width in (8, 16)]) is None


def test_the_best_of_a_score_is_its_highest() -> None:
    points = [Point({"loss.delta_va": va}, 0, va) for va in VA]
    assert axis_effect(points, "loss.delta_va", "distillation", "max").best == 1.0


@pytest.mark.parametrize(
    ("weight", "rules"),
    [(0.04, ["guidance_low_audio"]), (0.05, []), (0.9, []), (0.91, ["guidance_high_audio"])],
)
def test_a_modality_below_5_or_above_90_percent_is_flagged(weight: float, rules: list[str]) -> None:
    thresholds = overridden({}, quantities=DECLARED)
    found = declared_findings({"guidance_audio": weight, "guidance_text": 0.5, "gate_mean": 0.01}, thresholds)
    assert [(finding.rule, finding.level) for finding in found] == [(rule, "warning") for rule in rules]
    if rules:
        assert f"{100 * weight:g} %" in found[0].message


CONFIG = """\
experiment: tva
task: sentiment
params:
  data: {train: 50}
  train: {epochs: 8, patience: 2}
matrix:
  axes: {loss.delta_va: [0.1, 0.3, 0.5], loss.delta_nce: [0.001, 0.01]}
  seeds: [0, 1]
select: {metric: val_mse}
"""
GUIDANCE = {"guidance_text": 0.7, "guidance_vision": 0.27, "guidance_audio": 0.03}


def search(tmp_path: Path, *, config: bool = True, states: Any = None) -> Path:
    """A finished search; δ_va = 0.3 is the best. Guidance all but ignores the audio."""
    variants = [
        PlannedVariant(
            f"delta_va={va} delta_nce={nce}",
            axes={"loss.delta_va": va, "loss.delta_nce": nce},
            layers=(),
            metrics={"val_mse": 1 + abs(va - 0.3) + nce, "test_mse": 1.0},
            states=(states or {}).get((va, nce), {}),
        )
        for va in (0.1, 0.3, 0.5)
        for nce in (0.001, 0.01)
    ]
    path = tmp_path / "tva.yaml"
    if config:
        path.write_text(CONFIG)
    manifest = {"task": "sentiment", "config": str(path), "select": {"metric": "val_mse"}}
    manifest["quantities"] = as_data(DECLARED)
    directory = write_experiment(tmp_path / "runs", Plan(variants, name="tva", seeds=[0, 1], manifest=manifest))
    for number, result in enumerate(sorted(directory.glob("runs/*/result.json"))):
        content = json.loads(result.read_text())
        content |= {"fusion": {"guidance": GUIDANCE}, "stopped_early": number % 2 == 0}
        content["metrics"]["val_mse"] += 0.001 * (number * 7 % 5)  # noise, without which nothing can be shown
        content["extra"] = {"loss_weights": PARTS, "notes": ["the vectors are shared"]}
        result.write_text(json.dumps(content))
        lines = [json.dumps({"epoch": e, "layers": {"guidance": GUIDANCE}}) for e in range(1, 13)]
        (result.parent / "diagnostics.jsonl").write_text("\n".join(lines) + "\n")
    return directory


def test_the_summary_says_verdict_early_stops_guidance_and_what_to_do_next(tmp_path: Path, analysis) -> None:
    path = search(tmp_path)
    status, out, _ = analysis("summarize", path, "--all", "--no-report")
    said = re.sub(r"\s+", " ", out)
    assert status == 0
    assert "distillation-led: loss.delta_va is the weight to search" in said
    assert "stopped early: 6 of 12 runs (50%); 144 epochs in all" in said
    assert "guidance of delta_va=0.3 delta_nce=0.001: text 70 %, vision 27 %, audio 3 %" in said
    assert "audio is ignored: guidance weight 3 % is below 5 %" in said
    assert "the vectors are shared" in said
    assert f"$ analysis refine {path}" in said
    assert f"$ runner submit {path}/analysis/best_config.yaml" in said


def test_results_json_holds_every_run_also_while_some_are_missing(tmp_path: Path, analysis) -> None:
    path = search(tmp_path, states={(0.5, 0.01): {0: "running", 1: "new"}})
    analysis("summarize", path, "--no-report")
    found = json.loads(ExperimentDir(path).results.read_text())
    assert (found["planned"], found["completed"], found["stopped_early_share"]) == (12, 10, 0.5)
    assert found["verdict"]["verdict"] == "distillation-led"
    states = {run["state"]: run for run in found["runs"]}
    assert set(states) >= {"completed", "new"}
    done = states["completed"]
    assert done["guidance_weights"] == {"text": 0.7, "vision": 0.27, "audio": 0.03}
    assert done["best_loss"] == done["metrics"]["val_mse"]
    assert done["total_epochs"] == 12
    assert states["new"]["best_loss"] is None


def test_results_summary_csv_has_the_guidance_of_every_variant(tmp_path: Path) -> None:
    row = csv_rows(summarize(search(tmp_path)))[0]
    assert {name: row[name] for name in GUIDANCE} == pytest.approx(GUIDANCE)


def test_best_config_trains_the_best_pair_in_full(tmp_path: Path, analysis) -> None:
    path = search(tmp_path)
    analysis("summarize", path, "--no-report")
    loaded = load(ExperimentDir(path).best_config, tmp_path)
    (first, second) = loaded.expansion.runs
    assert (loaded.experiment.experiment, first.seed, second.seed) == ("tva_best", 0, 1)
    params = first.params
    assert (params["loss"]["delta_va"], params["loss"]["delta_nce"]) == (0.3, 0.001)
    assert (params["train"]["epochs"], params["train"]["patience"], params["data"]["train"]) == (100, 10, None)


def test_without_its_experiment_file_a_copy_has_no_best_config_and_says_so(tmp_path: Path, analysis) -> None:
    path = search(tmp_path, config=False)
    status, _, err = analysis("summarize", path, "--no-report")
    assert status == 0
    assert "best_config.yaml was not written: " in err
    assert ExperimentDir(path).results.exists()


def test_a_finer_grid_lies_around_the_best_pair(tmp_path: Path, printed) -> None:
    out = printed("refine", search(tmp_path))
    axes = yaml.safe_load(Path(out.strip()).read_text())["matrix"]["axes"]
    assert min(axes["loss.delta_va"]) > 0.1
    assert max(axes["loss.delta_va"]) < 0.5
    assert 0.3 in axes["loss.delta_va"]


def test_the_report_shows_guidance_by_epoch(tmp_path: Path, analysis) -> None:
    path = search(tmp_path)
    assert analysis("summarize", path)[0] == 0
    page = ExperimentDir(path).report.read_text()
    assert '"name":"guidance_text","low":0.05,"high":0.9' in page
    assert (ExperimentDir(path).figures / "guidance.svg").read_text().startswith("<svg")
    assert "Weights of the loss" in page


def test_experiments_without_loss_weights_say_nothing_of_them(tmp_path: Path) -> None:
    assert summarize(write_experiment(tmp_path, Plan([PlannedVariant("2")]))).weights is None


def test_best_config_keeps_what_it_does_not_change(tmp_path: Path) -> None:
    summary = summarize(search(tmp_path))
    content = {**yaml.safe_load(CONFIG), "resources": {"gpus": 1}, "health": {"guidance_low": 0.01}}
    content["search"] = {"seeds": "racing"}
    found = yaml.safe_load(best_config(content, summary.variant(summary.choice.variant)))
    assert (found["resources"], found["health"]) == ({"gpus": 1}, {"guidance_low": 0.01})
    assert found["matrix"] == {"seeds": [0, 1]}
    assert "search" not in found


def test_without_known_noise_no_weight_leads() -> None:
    points = [Point({"loss.delta_va": va, "loss.delta_nce": 0.001}, 0, va) for va in VA]
    found = say(points)
    assert found.verdict == "undecided"
    assert found.sentences[0].startswith("undecided: the noise is not known")
