"""A crystal model as the training loop sees it: batches, gradients, validation."""

from __future__ import annotations

import hashlib
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from jobs.tasks.crystal.batching import Positions, balanced
from jobs.tasks.crystal.dataset import Corpus, Items
from jobs.tasks.crystal.metrics import errors, errors_of_logarithms, scores
from jobs.tasks.crystal.schema import TrainParams
from jobs.training.trainer import Validation, cut
from models.crystal_model import CrystalModel, Output
from models.fusion.records import Records
from models.losses import LOSSES, info_nce

SHUFFLE_SEED = 0  # of the one order in which `reliance` gives texts away


class CrystalLearner:
    """Trains a CrystalModel on the train split of a corpus and judges it on the val split."""

    def __init__(self, model: CrystalModel, corpus: Corpus, train: TrainParams) -> None:
        self.model, self.corpus, self.train = model, corpus, train
        self.error = "mae_log10" if corpus.logarithm else "mae"
        self.metric = "val_bce" if corpus.classes else f"val_{self.error}"  # what the loss makes small, smooth in both
        self.mode = "min"
        self.masked = self._masked()
        weight = self._positive_weight()
        self.loss = LOSSES[train.loss] if weight is None else partial(LOSSES[train.loss], pos_weight=weight)

    def batches(self, epoch: int) -> list[Positions]:
        """The train positions of an epoch in an order drawn from seed and epoch, in batches."""
        generator = torch.Generator().manual_seed(_seed(self.train.seed, "order", epoch))
        order = torch.randperm(len(self.corpus.places["train"]), generator=generator).numpy()
        graphs = self.corpus.graphs
        if self.train.batches == "random" or graphs is None:
            return cut(order, self.train.batch_size)
        return balanced(order, graphs.pairs_of(order), self.train.batch_size)

    def backward(self, batch: Positions) -> dict[str, Tensor]:
        """The batch's loss is the mean over its crystals, also when it is computed in parts of `micro_batch`."""
        sums: dict[str, Tensor] = {}
        self.model.begin_step()
        for positions in cut(batch, self.train.micro_batch or len(batch)):
            items = self.corpus.items(positions, self._hidden(positions))
            with self._autocast():
                output = self.model(items.graph, items.text)
            loss = self._loss(output, items)
            torch.autograd.backward(loss * (len(positions) / len(batch)))
            for name, value in (("loss", loss), self._error(output, items)):
                sums[name] = sums.get(name, torch.zeros((), device=value.device)) + value.detach() * len(positions)
        return sums

    def validate(self) -> Validation:
        """Metrics of the val split, and what the fusions report there."""
        records = Records()
        predictions, targets = self.predict("val", records)
        return Validation(self.metrics("val", predictions, targets), records.summary(), records.histograms())

    def metrics(self, split: str, predictions: NDArray[np.float64], targets: NDArray[np.float64]) -> dict[str, float]:
        """Errors in the target's unit, or scores of two classes."""
        regression = errors_of_logarithms if self.corpus.logarithm else errors
        return (scores if self.corpus.classes else regression)(split, predictions, targets)

    def ids(self, split: str) -> list[str]:
        """The crystals of a split, in the order of the corpus."""
        return self.corpus.splits[split]

    def baselines(self, split: str, targets: NDArray[np.float64]) -> dict[str, float]:
        """The accuracy of the more frequent class, or the MAE of what is typical of the train split."""
        if self.corpus.classes:
            return {f"{split}_accuracy_of_majority": float(max(targets.mean(), 1 - targets.mean()))}
        return {f"{split}_mae_of_mean": float(abs(targets - self.corpus.typical).mean())}

    def predict(self, split: str, records: Records | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Predictions and targets of a split, in the order of the corpus: in the target's unit, or probabilities."""
        return self.predict_at(np.asarray(self.corpus.places[split]), records)

    @torch.no_grad()
    def predict_at(
        self, positions: Positions, records: Records | None = None, texts: Positions | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The same of the crystals at `positions`, each with the text of the crystal in its place in `texts`."""
        self.model.eval()
        predicted, size = [], self.train.micro_batch or self.train.batch_size
        owners = positions if texts is None else texts
        for part, of_texts in zip(cut(positions, size), cut(owners, size), strict=True):
            items = self.corpus.items(part, texts=of_texts)
            with self._autocast():
                output = self.model(items.graph, items.text, records=records)
            predicted.append(self.corpus.original(output.prediction.float()))
        predictions = torch.cat(predicted).double().cpu().numpy()
        return predictions, self.corpus.target[torch.from_numpy(positions)].double().cpu().numpy()

    def reliance(self) -> float | None:
        """Relative rise of the validation metric where every text goes to another crystal; None where there is no text.

        The texts move on by one place in a fixed random order, so that none stays; crystals without one stay without.
        """
        places, texts = np.asarray(self.corpus.places["val"]), self.corpus.texts
        if texts is None:
            return None
        owners = places[texts.present[places].cpu().numpy()]
        order = np.random.default_rng(SHUFFLE_SEED).permutation(owners)
        given = np.arange(len(self.corpus.ids))
        given[order] = np.roll(order, 1)
        right, shuffled = (
            self.metrics("val", *self.predict_at(places, texts=texts))[self.metric] for texts in (None, given[places])
        )
        return shuffled / right - 1 if right > 0 and len(owners) > 1 else None

    def _loss(self, output: Output, items: Items) -> Tensor:
        loss = self.loss(output.prediction.float(), items.target)
        if self.train.contrastive_weight:
            assert output.graph_vector is not None
            assert output.text_vector is not None
            assert items.text is not None
            contrast = info_nce(
                output.graph_vector.float(), output.text_vector.float(), self.train.temperature, items.text.present
            )
            loss = loss + self.train.contrastive_weight * contrast
        return loss

    def _error(self, output: Output, items: Items) -> tuple[str, Tensor]:
        """How far off the batch is, by name: in the unit that is learned, or as the share of right classes."""
        prediction = output.prediction.detach().float()
        if self.corpus.classes:
            return "accuracy", ((prediction > 0) == (items.target > 0.5)).float().mean()
        return self.error, F.l1_loss(prediction, items.target) * self.corpus.deviation

    def _hidden(self, positions: Positions) -> Tensor | None:
        """Which crystals of a training batch go without their text: masked for good, or dropped this time."""
        if self.corpus.texts is None or not (self.train.text_mask or self.train.modality_dropout):
            return None
        device = self.corpus.target.device
        hidden = self.masked[torch.from_numpy(positions)].to(device)
        if self.train.modality_dropout:
            hidden = hidden | (torch.rand(len(positions), device=device) < self.train.modality_dropout)
        return hidden

    def _masked(self) -> Tensor:
        """(train,) bool; `text_mask` of the train split, chosen once."""
        count = len(self.corpus.places["train"])
        generator = torch.Generator().manual_seed(_seed(self.train.seed, "text_mask", 0))
        masked = torch.zeros(count, dtype=torch.bool)
        masked[torch.randperm(count, generator=generator)[: round(self.train.text_mask * count)]] = True
        return masked

    def _positive_weight(self) -> Tensor | None:
        """How often the loss counts a positive crystal; `auto`: as many times as there are negatives for each."""
        weight, places = self.train.positive_weight, self.corpus.places["train"]
        if weight != "auto":
            return None if weight is None else torch.tensor(weight, device=self.corpus.target.device)
        positives = self.corpus.target[places.start : places.stop].mean()
        return (1 - positives) / positives

    def _autocast(self) -> torch.autocast:
        device = self.corpus.target.device.type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=self.train.precision == "bf16")


def _seed(seed: int, purpose: str, number: int) -> int:
    """A seed of its own for each purpose, so that no two draws are related."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{purpose}:{number}".encode()).digest()[:8], "big") >> 1
