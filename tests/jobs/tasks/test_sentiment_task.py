"""The sentiment task: teachers, losses, guidance, stopping and going on, what it reports."""

from __future__ import annotations

import csv
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from build_log import builds
from jobs.context import RunContext
from jobs.failure import Stopped
from jobs.task import Outcome
from jobs.tasks.sentiment.dataset import Corpus, read
from jobs.tasks.sentiment.learner import SentimentLearner
from jobs.tasks.sentiment.metrics import scores, weighted_f1
from jobs.tasks.sentiment.preparation import prepare
from jobs.tasks.sentiment.schema import LossParams, SentimentParams, TrainParams
from jobs.tasks.sentiment.task import SentimentTask
from jobs.tasks.sentiment.teachers import teacher_features
from models.sentiment.model import SentimentModel
from models.sentiment.options import SentimentModelOptions
from runner.commands.loading import load
from runner.errors import CommandFailed, UserError
from runner.files import read_json_lines
from runner.rundir.layout import RunDir
from runner.rundir.lock import locked
from sentiment_cases import tiny_params

torch.set_num_threads(1)
quiet = lambda text: None  # noqa: E731


def context(path: Path) -> RunContext:
    path.mkdir(exist_ok=True)
    return RunContext(RunDir(path), cache_root=path.parent / "cache")


def run(path: Path, **changes: Any) -> tuple[Outcome, RunContext]:
    its = context(path)
    return SentimentTask().run(tiny_params(**changes), its), its


def learner(params: SentimentParams, teachers: dict[str, np.ndarray] | None = None) -> SentimentLearner:
    corpus = Corpus.of(read(params), teachers or {}, "cpu")
    torch.manual_seed(0)
    model = SentimentModel(params.model, corpus.widths, {name: its.shape[1] for name, its in corpus.teachers.items()})
    return SentimentLearner(model, corpus, params.loss, params.train)


def test_a_run_reports_all_metrics_and_the_guidance(tmp_path: Path) -> None:
    outcome, its = run(tmp_path / "run")
    kinds = {"mse", "mae", "corr", "acc2", "acc7", "f1"}
    for split in ("val", "test"):
        assert kinds <= {name.removeprefix(f"{split}_") for name in outcome.metrics if name.startswith(split)}
    guidance = outcome.extra["guidance_weights"]
    assert sum(guidance.values()) == pytest.approx(1, abs=1e-6)
    assert list(guidance) == ["text", "vision", "audio"]
    logged = [line["layers"]["guidance"] for line in read_json_lines(its.directory.diagnostics)]
    assert len(logged) == outcome.epochs == 3
    assert logged[outcome.best_epoch - 1]["guidance_text"] == guidance["text"]
    assert not its.directory.fusion_weights.exists()  # its columns are of graph and text
    line = read_json_lines(its.directory.metrics)[0]
    assert {"train_mse", "train_distillation_vision", "train_distillation_audio", "train_nce", "val_mse"} <= set(line)
    rows = list(csv.DictReader(its.directory.predictions.open()))
    errors = [(float(row["target"]) - float(row["prediction"])) ** 2 for row in rows if row["split"] == "val"]
    assert np.mean(errors) == pytest.approx(outcome.metrics["val_mse"])


def test_the_published_form_is_told(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path / "run", model={"shared": True})
    assert any("distillation pulls one vector to two teachers" in note for note in outcome.extra["notes"])
    assert run(tmp_path / "other")[0].extra["notes"] == []


def test_the_loss_is_the_weighted_sum_of_its_parts() -> None:
    features = {name: np.random.default_rng(3).standard_normal((40, 5)).astype("f") for name in ("vision", "audio")}
    its = learner(tiny_params(loss={"delta_va": 0.4, "delta_nce": 0.02}), features)
    its.model.eval()
    sums = {name: float(value) / 16 for name, value in its.backward(its.batches(1)[0]).items()}
    distilled = sums["distillation_vision"] + sums["distillation_audio"]
    assert sums["loss"] == pytest.approx(sums["mse"] + 0.4 * distilled + 0.02 * sums["nce"], rel=1e-5)


def test_parts_without_weight_are_not_computed_and_train_no_teacher(tmp_path: Path) -> None:
    assert set(learner(tiny_params(loss={"delta_va": 0, "delta_nce": 0})).backward(np.arange(4))) == {"loss", "mse"}
    run(tmp_path / "run", loss={"delta_va": 0})
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("distance", ["cosine", "kl"])
def test_distillation_draws_the_student_to_its_teacher(distance: str) -> None:
    params = tiny_params(loss={"delta_va": 5.0, "delta_nce": 0, "distance": distance})
    samples = read(params)
    features = {name: samples.splits["train"].modalities[name].values.mean(1) for name in ("vision", "audio")}
    its = learner(params, features)
    optimiser = torch.optim.Adam(its.model.parameters(), lr=0.01)
    far = [train_epoch(its, optimiser, epoch)["distillation_vision"] for epoch in range(1, 21)]
    assert far[-1] < 0.6 * far[0]


def train_epoch(its: SentimentLearner, optimiser: torch.optim.Optimizer, epoch: int) -> dict[str, float]:
    sums: dict[str, float] = {}
    its.model.train()
    for batch in its.batches(epoch):
        optimiser.zero_grad()
        for name, value in its.backward(batch).items():
            sums[name] = sums.get(name, 0.0) + float(value)
        optimiser.step()
    return sums


def test_sixteen_utterances_are_learnt_by_heart() -> None:
    params = tiny_params(
        planted={"train": 16}, model={"dropout": 0, "width": 16}, loss={"delta_va": 0, "delta_nce": 0.001}
    )
    its = learner(params)
    optimiser = torch.optim.Adam(its.model.parameters(), lr=0.01)
    errors = [train_epoch(its, optimiser, epoch)["mse"] / 16 for epoch in range(1, 121)]
    assert errors[-1] < 0.01


@pytest.mark.slow
def test_guidance_recovers_the_planted_order_of_the_modalities() -> None:
    importance = {"text": 0.1, "vision": 0.3, "audio": 0.6}
    planted = {"train": 300, "valid": 100, "test": 2, "length": 6, "text_width": 32, "vision_width": 16}
    params = tiny_params(
        planted={**planted, "audio_width": 16, "importance": importance},
        model={"width": 32, "num_heads": 4},
        loss={"delta_va": 0, "delta_nce": 0.001},
    )
    its = learner(params)
    optimiser = torch.optim.AdamW(its.model.parameters(), lr=2e-3)
    for epoch in range(1, 13):
        train_epoch(its, optimiser, epoch)
    found = its.validate().fusion["guidance"]
    order = sorted(importance, key=lambda name: importance[name])
    assert sorted(importance, key=lambda name: found[f"guidance_{name}"]) == order


def test_a_stopped_and_resumed_run_equals_an_undisturbed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, undisturbed = run(tmp_path / "whole")
    its = context(tmp_path / "stopped")
    steps = 0
    plain = SentimentLearner.backward

    def stopping(self: SentimentLearner, batch: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 5:
            its.ask_to_stop("preempted")
        return plain(self, batch)

    monkeypatch.setattr(SentimentLearner, "backward", stopping)
    with pytest.raises(Stopped, match="preempted"):
        SentimentTask().run(tiny_params(), its)
    resumed, again = run(tmp_path / "stopped")
    assert resumed.metrics == whole.metrics
    assert resumed.fusion == whole.fusion
    assert again.directory.predictions.read_bytes() == undisturbed.directory.predictions.read_bytes()


def test_patience_stops_early(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path / "run", train={"epochs": 40, "patience": 2, "learning_rate": 0.05})
    assert outcome.stopped_early
    assert outcome.epochs == outcome.best_epoch + 2


def test_teachers_are_trained_once_for_all_runs_that_share_them(tmp_path: Path) -> None:
    found = prepare(
        [tiny_params(), tiny_params(loss={"delta_va": 1.0}), tiny_params(train={"seed": 4})], tmp_path, quiet
    )
    assert [item.ready for item in found] == [True, True]
    assert [line["kind"] for line in builds(tmp_path)] == ["vision teacher", "audio teacher"]
    params = tiny_params()
    features = teacher_features(params.teachers, read(params), tmp_path, "cpu", quiet)
    assert len(builds(tmp_path)) == 2
    assert {name: its.shape for name, its in features.items()} == {"vision": (40, 8), "audio": (40, 8)}
    prepare([tiny_params(teachers={"seed": 1}), tiny_params(data={"train": 30})], tmp_path, quiet)
    assert len(builds(tmp_path)) == 6


def test_teachers_do_not_disturb_the_random_numbers_of_the_run(tmp_path: Path) -> None:
    first, _ = run(tmp_path / "first")
    second, _ = run(tmp_path / "second")  # finds the teachers in the cache
    assert first.metrics == second.metrics


def test_two_runs_do_not_train_a_teacher_twice(tmp_path: Path) -> None:
    params = tiny_params()
    samples = read(params)
    waited = threading.Event()
    key = next(iter_keys(params, samples, tmp_path))
    (tmp_path / "teachers").mkdir()
    found: list[Any] = []

    def second() -> None:
        found.append(teacher_features(params.teachers, samples, tmp_path, "cpu", lambda text: waited.set()))

    with locked(tmp_path / "teachers" / f"{key}.lock"):
        thread = threading.Thread(target=second)
        thread.start()
        assert waited.wait(10)  # it says that it waits
        assert builds(tmp_path) == []
    thread.join(30)
    assert len(builds(tmp_path)) == 2


def iter_keys(params: SentimentParams, samples: Any, root: Path) -> Any:
    """The names under which the teachers lie, found by training them elsewhere."""
    teacher_features(params.teachers, samples, root / "elsewhere", "cpu", quiet)
    yield from sorted((path.name for path in (root / "elsewhere" / "teachers").iterdir()), reverse=True)


def test_features_of_ones_own_teachers_are_read_by_id(tmp_path: Path) -> None:
    params = tiny_params()
    samples = read(params)
    ids = samples.splits["train"].ids
    order = np.random.default_rng(0).permutation(len(ids))
    vision = np.arange(40 * 3, dtype=np.float64).reshape(40, 3)
    np.savez(tmp_path / "own.npz", ids=np.array(ids)[order], vision=vision[order], audio=vision[order][:, :2])
    params = SentimentParams.model_validate(
        {**params.model_dump(), "teachers": {"name": "file", "path": str(tmp_path / "own.npz")}}
    )
    features = teacher_features(params.teachers, samples, tmp_path, "cpu", quiet)
    np.testing.assert_array_equal(features["vision"], vision)
    its = context(tmp_path / "run")
    assert np.isfinite(SentimentTask().run(params, its).metrics["train_distillation_audio"])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"ids": ["a"], "vision": [[1.0]]}, "has no audio; allowed: ids"),
        ({"ids": ["a"], "vision": [[1.0]], "audio": [1.0]}, r"holds audio of shape \(1,\); allowed: \(1, d\)"),
        ({"ids": ["a"], "vision": [[1.0]], "audio": [[np.nan]]}, "holds audio with values that are not finite"),
        ({"ids": ["a"], "vision": [[1.0]], "audio": [[1.0]]}, "lacks 1 utterances of the train split, such as 'b'"),
    ],
)
def test_a_feature_file_that_does_not_fit_is_named(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    from jobs.tasks.sentiment.teachers import from_file

    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(UserError, match=rf"teachers\.path: .*own\.npz {message}"):
        from_file(tmp_path / "own.npz", ["a", "b"])


def test_a_feature_file_is_not_unpickled(tmp_path: Path) -> None:
    from jobs.tasks.sentiment.teachers import from_file

    np.savez(tmp_path / "own.npz", ids=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match=r"is not an \.npz of plain arrays"):
        from_file(tmp_path / "own.npz", ["a"])


def test_missing_files_are_mistakes_of_the_configuration() -> None:
    params = {"data": {"dataset": "no.npz"}, "teachers": {"name": "file", "path": "no.npz"}}
    assert [problem.key for problem in SentimentTask().check(params)] == ["data.dataset", "teachers.path"]
    assert SentimentTask().check({}) == []


def test_a_batch_is_not_computed_in_parts() -> None:
    with pytest.raises(UserError, match="InfoNCE compares all utterances of a batch"):
        SentimentTask().shrink({}, 0.5)


def test_sections_without_effect_take_no_part_in_the_identity() -> None:
    assert SentimentParams().without_effect() == set()
    assert SentimentParams(loss=LossParams(delta_va=0)).without_effect() == {"teachers"}
    assert SentimentParams.model_validate({"data": {"dataset": "mosi.npz"}}).without_effect() == {"planted"}


def test_defaults_are_those_of_the_literature() -> None:
    loss = SentimentParams().loss
    assert (loss.delta_va, loss.delta_nce, loss.distance) == (0.3, 0.001, "cosine")
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        TrainParams(batch_size=1)


def test_scores_against_a_count_by_hand() -> None:
    labels = np.array([-2.0, -0.4, 0.0, 0.6, 3.0])
    predictions = np.array([-1.0, 0.2, 1.0, 0.8, 5.0])
    found = scores("val", predictions, labels)
    assert found["val_mae"] == pytest.approx((1 + 0.6 + 1 + 0.2 + 2) / 5)
    assert found["val_mse"] == pytest.approx((1 + 0.36 + 1 + 0.04 + 4) / 5)
    assert found["val_corr"] == pytest.approx(np.corrcoef(labels, predictions)[0, 1])
    assert found["val_acc2"] == pytest.approx(3 / 4)  # of −2, −0.4, 0.6, 3
    assert found["val_acc7"] == pytest.approx(3 / 5)  # −0.4 and 0.2 are both 0; 5 counts as 3
    assert found["val_f1"] == pytest.approx(0.5 * 2 / 3 + 0.5 * 4 / 5)


def test_constant_predictions_have_no_correlation_and_all_neutral_no_accuracy_of_two() -> None:
    found = scores("val", np.ones(3), np.zeros(3))
    assert found["val_corr"] == 0
    assert "val_acc2" not in found
    assert weighted_f1(np.array([True]), np.array([True])) == 1


CONFIGS = Path(__file__).parents[3] / "configs"
TINY = [
    "params.planted={train: 20, valid: 10, test: 10, length: 3, text_width: 4, vision_width: 4, audio_width: 4}",
    "params.model={width: 8, num_heads: 2}",
    "params.train.epochs=1",
    "params.teachers.epochs=1",
]


def test_the_quick_search_has_its_six_pairs_and_each_trains(tmp_path: Path) -> None:
    its = load(CONFIGS / "tva_quick.yaml", tmp_path, TINY)
    pairs = {run.variant: (run.model.loss.delta_va, run.model.loss.delta_nce) for run in its.expansion.runs}
    assert pairs == {
        "current": (0.3, 0.001), "distillation": (0.5, 0.001), "contrast": (0.3, 0.01), "balanced": (0.4, 0.005),
        "conservative": (0.2, 0.001), "aggressive": (0.8, 0.05),
    }  # fmt: skip
    assert (its.experiment.select.metric, its.experiment.select.mode) == ("val_mse", "min")
    for run in its.expansion.runs:
        outcome = SentimentTask().run(run.model, context(tmp_path / run.variant))
        assert np.isfinite(outcome.metrics["val_mse"])


def test_the_grid_is_seven_times_seven() -> None:
    runs = load(CONFIGS / "tva_grid.yaml", Path("runs")).expansion.runs
    assert len(runs) == 49
    assert {run.model.loss.delta_va for run in runs} == {0.1, 0.2, 0.3, 0.4, 0.5, 0.8, 1.0}
    assert {run.model.loss.delta_nce for run in runs} == {0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2}
    assert {(run.model.train.epochs, run.model.train.patience) for run in runs} == {(8, 2)}


def test_splits_are_written(tmp_path: Path) -> None:
    _, its = run(tmp_path / "run", data={"val": 5})
    splits = json.loads(its.directory.splits.read_text())
    assert {name: len(ids) for name, ids in splits.items()} == {"train": 40, "val": 5, "test": 20}


def test_width_of_the_model_is_checked() -> None:
    with pytest.raises(ValidationError, match="not a multiple of num_heads"):
        SentimentParams(model=SentimentModelOptions.model_validate({"width": 9}))


def test_a_cache_that_cannot_be_written_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "teachers").write_text("a file where the folder should be")
    with pytest.raises(CommandFailed, match=r"lacks a teacher and cannot be written(.|\n)*next: runner prepare CONFIG"):
        teacher_features(tiny_params().teachers, read(tiny_params()), tmp_path, "cpu", quiet)
