"""A crystal model in training: which texts are hidden, parts of a batch, classes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jobs.tasks.crystal.batching import balanced
from jobs.tasks.crystal.dataset import Corpus, gather, rare_class, two_classes
from jobs.tasks.crystal.learner import CrystalLearner
from jobs.tasks.crystal.schema import CrystalParams
from jobs.tasks.crystal.task import build_model
from jobs.training.trainer import cut
from runner.errors import UserError

torch.set_num_threads(1)
TRAIN = 20


def params(**sections: dict[str, Any]) -> CrystalParams:
    """A small fusion model on shipped crystals, without dropout unless it is asked for."""
    model = {
        "encoder": {"name": "alignn", "alignn_layers": 1, "gcn_layers": 1, "embedding": 8, "hidden": 16},
        "middle_fusion": {"name": "middle", "layers": [1], "hidden_dim": 8, "dropout": 0},
        "dropout": 0,
    }
    defaults: dict[str, dict[str, Any]] = {
        "data": {"dataset": "jarvis_minerals", "train": TRAIN, "val": 10, "test": 10},
        "text": {"describe": "robocrys", "max_length": 16},
        "model": model,
        "train": {"batch_size": 8},
    }
    merged = {name: {**section, **sections.get(name, {})} for name, section in defaults.items()}
    return CrystalParams.model_validate(merged)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def learner(root: Path, seed: int = 0, **sections: dict[str, Any]) -> CrystalLearner:
    """In float64, so that only real differences are seen."""
    its = params(**sections)
    corpus = in_float64(gather(its, root, torch.device("cpu"), 1, lambda text: None))
    torch.manual_seed(seed)
    return CrystalLearner(build_model(its, 384).double().train(), corpus, its.train)


def in_float64(corpus: Corpus) -> Corpus:
    assert corpus.graphs is not None
    tables = corpus.graphs.tables
    corpus.graphs.tables = {name: t.double() if t.is_floating_point() else t for name, t in tables.items()}
    if corpus.texts is not None:
        corpus.texts.vector = corpus.texts.vector.double()
    return replace(corpus, target=corpus.target.double())


def hidden(its: CrystalLearner, epoch: int = 1) -> dict[int, bool]:
    """Train position → whether the model was given no text for it, over one epoch."""
    found: dict[int, bool] = {}
    forward = its.model.forward
    for batch in its.batches(epoch):

        def seen(graph: Any, text: Any, records: Any = None, batch: Any = batch) -> Any:
            found.update(zip(batch.tolist(), (~text.present).tolist(), strict=True))
            return forward(graph, text, records=records)

        its.model.forward = seen  # type: ignore[method-assign]
        its.backward(batch)
    its.model.forward = forward  # type: ignore[method-assign]
    return found


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.3, 6), (0.5, 10), (1.0, 20)])
def test_text_mask_hides_exactly_its_share_and_the_same_crystals_in_every_epoch(
    root: Path, share: float, count: int
) -> None:
    its = learner(root, train={"text_mask": share})
    first, second = hidden(its, 1), hidden(its, 2)
    assert sum(first.values()) == count
    assert first == second
    assert len(first) == TRAIN


def test_text_mask_follows_the_seed(root: Path) -> None:
    one, again, other = (learner(root, train={"text_mask": 0.5, "seed": seed}) for seed in (0, 0, 1))
    assert torch.equal(one.masked, again.masked)
    assert not torch.equal(one.masked, other.masked)


def test_modality_dropout_hides_other_crystals_in_every_epoch(root: Path) -> None:
    its = learner(root, train={"modality_dropout": 0.4})
    torch.manual_seed(0)
    epochs = [hidden(its, epoch) for epoch in range(1, 41)]
    assert len({tuple(sorted(epoch.items())) for epoch in epochs}) == 40
    share = sum(sum(epoch.values()) for epoch in epochs) / (40 * TRAIN)
    assert share == pytest.approx(0.4, abs=4 * (0.4 * 0.6 / (40 * TRAIN)) ** 0.5)  # four standard errors


def test_masked_crystals_stay_masked_under_modality_dropout(root: Path) -> None:
    its = learner(root, train={"modality_dropout": 0.5, "text_mask": 0.25})
    for epoch in (1, 2):
        found = hidden(its, epoch)
        assert all(found[position] for position in np.flatnonzero(its.masked.numpy()))


@pytest.mark.parametrize("split", ["val", "test"])
def test_texts_of_val_and_test_are_never_hidden(root: Path, split: str) -> None:
    plain, masked = learner(root), learner(root, train={"text_mask": 1.0, "modality_dropout": 0.9})
    assert np.array_equal(plain.predict(split)[0], masked.predict(split)[0])
    masked.corpus.texts.present[:] = False  # type: ignore[union-attr]
    assert not np.array_equal(plain.predict(split)[0], masked.predict(split)[0])


@pytest.mark.parametrize("micro", [1, 3, 8, 64])
@pytest.mark.parametrize("loss", ["l1", "mse"])
def test_parts_of_a_batch_give_the_gradient_of_the_whole(root: Path, loss: str, micro: int) -> None:
    whole, parts = learner(root, train={"loss": loss}), learner(root, train={"loss": loss, "micro_batch": micro})
    batch = whole.batches(1)[0]
    first, second = whole.backward(batch), parts.backward(batch)
    torch.testing.assert_close(first, second)
    for (name, one), (_, other) in zip(whole.model.named_parameters(), parts.model.named_parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-9, atol=1e-12, msg=name)
    assert any(p.grad is not None and p.grad.any() for p in whole.model.parameters())


@pytest.mark.parametrize("kind", ["random", "balanced"])
def test_batches_hold_every_crystal_once_in_an_order_of_seed_and_epoch(root: Path, kind: str) -> None:
    its = learner(root, train={"batches": kind})
    first, second = np.concatenate(its.batches(1)), np.concatenate(its.batches(2))
    assert sorted(first) == sorted(second) == list(range(TRAIN))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, np.concatenate(its.batches(1)))
    assert [len(batch) for batch in its.batches(1)] == [8, 8, 4]


def test_train_metrics_are_sums_over_crystals_in_the_unit_of_the_target(root: Path) -> None:
    its = learner(root)
    its.model.eval()
    batch = its.batches(1)[0]
    sums = its.backward(batch)
    with torch.no_grad():
        output = its.model(*(lambda items: (items.graph, items.text))(its.corpus.items(batch)))
    far = (its.corpus.original(output.prediction) - its.corpus.target[torch.from_numpy(batch)]).abs()
    assert float(sums["mae"]) == pytest.approx(float(far.sum()))
    assert float(sums["loss"]) == pytest.approx(float(far.sum()) / its.corpus.deviation)


CLASSES = partial(learner, data={"classify": {"threshold": -1.5}}, train={"loss": "bce"})


def test_classes_are_learned_from_the_side_of_the_threshold(root: Path) -> None:
    its, values = CLASSES(root), learner(root).corpus.target
    assert torch.equal(its.corpus.target, (values > -1.5).double())
    optimiser = torch.optim.Adam(its.model.parameters(), lr=1e-2)
    for epoch in range(1, 41):
        for batch in its.batches(epoch):
            optimiser.zero_grad()
            sums = its.backward(batch)
            optimiser.step()
    assert set(sums) == {"loss", "accuracy"}
    probabilities, classes = its.predict("train")
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1
    assert ((probabilities > 0.5) == classes).mean() == 1.0


def test_classes_are_judged_by_scores(root: Path) -> None:
    its = CLASSES(root)
    assert set(its.validate().metrics) == {"val_bce", "val_accuracy", "val_f1", "val_ap", "val_auc"}
    assert (its.metric, its.mode) == ("val_bce", "min")


def test_split_with_one_class_is_refused(root: Path) -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0])
    assert two_classes(values, 2.0, {"train": range(4)}).tolist() == [0, 0, 1, 1]
    with pytest.raises(UserError, match=r"all 2 val crystals are above 2; the values go from 1 to 4 with median 2\.5"):
        two_classes(values, 2.0, {"train": range(3), "val": range(2, 4)})
    with pytest.raises(UserError, match=r"all 4 train crystals are at or below 4"):
        two_classes(values, 4.0, {"train": range(4)})


def test_balanced_batches_have_about_equally_many_pairs() -> None:
    """With the pairs of 1,000 quotients of mp6k: median 180, mean 350, largest 4,400."""
    draw = np.random.default_rng(0)
    pairs = np.minimum(draw.lognormal(5.2, 1.15, 1000), 4400).astype(np.int64)
    order = draw.permutation(1000)

    def heaviest(batches: list[np.ndarray]) -> float:
        loads = np.array([pairs[batch].sum() for batch in batches[:-1]])
        return float(loads.max() / loads.mean())

    batches = balanced(order, pairs[order], 64)
    assert [len(batch) for batch in batches] == [64] * 15 + [40]
    assert heaviest(batches) < 1.02
    assert heaviest(cut(order, 64)) > 1.2
    assert pairs[batches[-1]].mean() == pytest.approx(pairs.mean(), rel=0.1)


def test_balanced_batches_mix_other_crystals_in_every_epoch(root: Path) -> None:
    its = learner(root, train={"batches": "balanced"})
    partners = [{frozenset(batch.tolist()) for batch in its.batches(epoch)} for epoch in (1, 2, 3)]
    assert not partners[0] & partners[1] & partners[2]


def test_automatic_weight_counts_each_positive_as_often_as_there_are_negatives(root: Path) -> None:
    classes = {"data": {"classify": {"threshold": -1.5}}, "train": {"batch_size": TRAIN, "loss": "bce"}}
    weighed = {**classes, "train": {**classes["train"], "positive_weight": "auto"}}
    plain, auto = learner(root, **classes), learner(root, **weighed)
    share = float(plain.corpus.target[:TRAIN].mean())
    prediction, target = torch.tensor([0.3, -0.2]).double(), torch.tensor([1.0, 0.0]).double()
    each = torch.nn.functional.binary_cross_entropy_with_logits(prediction, target, reduction="none")
    assert auto.loss(prediction, target).item() == pytest.approx(float(each[0] * (1 - share) / share + each[1]) / 2)
    assert plain.loss(prediction, target).item() == pytest.approx(float(each.mean()))


def test_accuracy_of_classes_rarer_than_three_to_one_is_warned_of() -> None:
    assert rare_class(np.array([1.0, 0, 0, 0])) == []
    (note,) = rare_class(np.array([1.0, 0, 0, 0, 0]))
    assert note.startswith("20.0% of the train crystals are of the rarer class: accuracy is 0.800 without a model")
