"""Weights of fused layers that other programs log, and when they are divided by their sum."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs.reading.fusion import brought_to_ours
from jobs.reading.history import read_history
from jobs.reading.predictions import read_predictions
from jobs.reading.recorded import outcome_of
from jobs.reading.schema import FusionParams, MetricsParams, PredictionsParams
from older_trainer import error_of
from tiny_experiment import TESTS


def ratios(
    pairs: list[tuple[float, float]], normalise: Any = "auto", final: bool = True
) -> tuple[list[Any], list[str]]:
    records = {5 * at: {("1", "w_graph"): graph, ("1", "w_text"): text} for at, (graph, text) in enumerate(pairs, 1)}
    epochs, notes = brought_to_ours(records, normalise, final)
    return [layers["1"].get("ratio") for layers in epochs.values()], notes


def running_mean(graph: float, updates: list[int], momentum: float = 0.99) -> list[tuple[float, float]]:
    return [((1 - momentum**n) * graph, (1 - momentum**n) * (1 - graph)) for n in updates]


def test_running_means_that_began_at_zero_are_divided_by_their_sum() -> None:
    biased = running_mean(1 - 1 / 1.75, [20, 60, 140])
    assert (1 + biased[2][0]) / biased[2][1] == pytest.approx(3.07, abs=0.01)  # as the program itself would print it
    values, notes = ratios(biased)
    assert values == pytest.approx([2.5, 2.5, 2.5])
    (note,) = notes
    assert note.startswith("layer 1: w_graph + w_text is 0.182 in the first logged epoch, 0.755 in the last; both were")


@pytest.mark.parametrize(
    "pairs",
    [
        [(0.4, 0.3), (0.5, 0.3), (0.4, 0.3)],  # independent gates
        [(0.6, 0.4), (0.6, 0.4), (0.6, 0.4)],
        [(0.5, 0.3), (0.6, 0.5), (0.7, 0.6)],  # beyond 1
    ],
)
def test_other_sums_stay_as_they_are(pairs: list[tuple[float, float]]) -> None:
    assert ratios(pairs) == ([pytest.approx((1 + graph) / text) for graph, text in pairs], [])


def test_what_cannot_be_judged_yet_has_no_ratio_and_at_the_end_a_note() -> None:
    pairs = running_mean(0.5, [20, 60])
    assert ratios(pairs, final=False) == ([None, None], [])
    values, (note,) = ratios(pairs)
    assert values == [pytest.approx((1 + graph) / text) for graph, text in pairs]
    assert "set metrics.fusion.normalise: always" in note
    assert ratios(pairs, "always")[0] == pytest.approx([3, 3])
    assert ratios(running_mean(0.5, [20, 60, 140]), "never")[1] == []


def test_weights_of_nothing_and_of_one_kind_do_no_harm() -> None:
    assert ratios([(0, 0), (0, 0), (0, 0)], "always")[0] == [None, None, None]
    assert brought_to_ours({1: {("late", "gate_mean"): 0.4}}, "always") == ({1: {"late": {"gate_mean": 0.4}}}, [])


@pytest.mark.parametrize(
    ("text", "fusion"),
    [
        ("epoch,layer,w_graph,w_text\n1,0,0.6,0.4\n1,2,0.7,0.3\n", {"file": "f.csv", "first_layer": 0}),
        ("epoch,where,g,t\n1,1,0.6,0.4\n1,3,0.7,0.3\n",
         {"file": "f.csv", "layer": "where", "names": {"w_graph": "g", "w_text": "t"}}),
        ("epoch;1\nlayer 0: 0.6/0.4\rlayer 2: 0.7/0.3\n", {"file": "f.csv", "first_layer": 0,
         "pattern": r"epoch;(?P<epoch>\d+)|layer (?P<layer>\d+): (?P<w_graph>[\d.]+)/(?P<w_text>[\d.]+)"}),
        ('{"epoch": 1, "layers": {"l1": {"g": 0.6, "t": 0.4}, "l3": {"g": 0.7, "t": 0.3}}}\n',
         {"file": "f.csv", "format": "jsonl", "columns": r"layers\.l(?P<layer>\d)\.(?P<quantity>.)",
          "names": {"w_graph": "g", "w_text": "t"}}),
    ],
)  # fmt: skip
def test_forms_of_fusion_weights(tmp_path: Path, text: str, fusion: dict[str, Any]) -> None:
    (tmp_path / "h.json").write_text('[{"epoch": 1, "val_mae": 1}]')
    (tmp_path / "f.csv").write_text(text)
    params = MetricsParams(file="h.json", fusion=FusionParams.model_validate(fusion))
    layers = read_history(tmp_path, params, {}).epochs[0].layers
    assert {layer: (values["w_graph"], values["ratio"]) for layer, values in layers.items()} == {
        "1": (0.6, pytest.approx(4)), "3": (0.7, pytest.approx(1.7 / 0.3))
    }  # fmt: skip


def test_folder_of_an_older_training_is_read_by_its_preset(tmp_path: Path) -> None:
    words = ["--output_dir", tmp_path, "--property", "gap", "--middle_fusion_layers", "0,2", "--epochs", "12"]
    subprocess.run([sys.executable, TESTS / "older_trainer.py", *words], check=True, capture_output=True)
    history = read_history(tmp_path, MetricsParams.model_validate({"preset": "crysmmnet"}), {})
    tables = PredictionsParams(val="*/predictions_best_val_model_val.csv", test="*/predictions_best_val_model_test.csv")
    predictions = read_predictions(tmp_path, tables, {})
    outcome = outcome_of(history.epochs, predictions, MetricsParams(preset="crysmmnet"))
    assert outcome is not None
    assert (outcome.best_epoch, outcome.epochs) == (10, 12)
    assert outcome.metrics["val_mae"] == error_of([0, 2], 0, 10)
    assert outcome.metrics["test_mae"] == pytest.approx(error_of([0, 2], 0, 10) + 0.02)
    assert set(outcome.fusion) == {"1", "3"}
    assert len(predictions.rows) == 80
    assert [note for note in outcome.extra["notes"] if "predictions" in note] == []


@pytest.mark.parametrize(
    ("text", "names", "warning"),
    [
        ("id,y,prediction\na,1,2\n", {}, "1 of 1 rows are left out: no column target; found id, y, prediction"),
        ("id,y,prediction\na,1,2\na,1,2\nb,x,2\n,1,2\n", {"target": "y"}, "3 of 4 rows are left out: no id, an id"),
        (None, {}, "no such file"),
    ],
)  # fmt: skip
def test_predictions_that_do_not_fit_are_named(
    tmp_path: Path, text: str | None, names: dict[str, str], warning: str
) -> None:
    if text is not None:
        (tmp_path / "p.csv").write_text(text)
    predictions = read_predictions(tmp_path, PredictionsParams.model_validate({"val": "p.csv", "names": names}), {})
    assert warning in predictions.warnings[0]


def test_predictions_of_another_epoch_are_noticed_and_a_test_error_is_taken_from_them(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text("val_mae\n3\n1\n")
    for split in ("val", "test"):
        (tmp_path / f"{split}.csv").write_text("id,target,prediction\na,0,2\nb,1,-1\n")
    predictions = read_predictions(tmp_path, PredictionsParams(val="val.csv", test="test.csv"), {})
    params = MetricsParams(file="h.csv")
    outcome = outcome_of(read_history(tmp_path, params, {}).epochs, predictions, params)
    assert outcome is not None
    assert outcome.metrics == {"val_mae": 1, "test_mae": 2}
    assert "the val predictions have mae 2, but val_mae of the best epoch is 1" in outcome.extra["notes"][0]
    assert outcome.extra["notes"][1] == "test_mae is that of the predictions of the test split"


def test_test_error_that_is_printed_once_is_that_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text("epoch,val_mae,test_mae\n1,1,\n2,3,\n2,,5\n")
    params = MetricsParams(file="h.csv")
    outcome = outcome_of(read_history(tmp_path, params, {}).epochs, read_predictions(tmp_path, None, {}), params)
    assert outcome is not None
    assert outcome.metrics == {"val_mae": 1, "test_mae": 5}
    assert outcome.extra["notes"] == ["test_mae was reported once, with epoch 2; it is taken for the run"]
