"""The sentiment model as the training loop sees it: batches, gradients, validation."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from jobs.tasks.sentiment.dataset import Corpus, Rows
from jobs.tasks.sentiment.metrics import Values, scores
from jobs.tasks.sentiment.schema import GUIDANCE, LossParams, TrainParams
from jobs.training.trainer import Validation, cut
from models.sentiment.losses import DISTANCES, info_nce_to
from models.sentiment.model import Guided, SentimentModel
from models.sentiment.options import MODALITIES


class SentimentLearner:
    """Trains on the train split of a corpus and judges the main task, MSE of the sentiment, on the val split."""

    metric, mode = "val_mse", "min"  # a weighted total could not be compared across weights

    def __init__(self, model: SentimentModel, corpus: Corpus, loss: LossParams, train: TrainParams) -> None:
        self.model, self.corpus, self.loss, self.train = model, corpus, loss, train

    def batches(self, epoch: int) -> list[Rows]:
        """The rows of an epoch in an order drawn from seed and epoch, cut into batches."""
        digest = hashlib.sha256(f"{self.train.seed}:order:{epoch}".encode()).digest()
        order = np.random.default_rng(int.from_bytes(digest[:8], "big")).permutation(len(self.corpus.splits["train"]))
        return cut(order, self.train.batch_size)

    def backward(self, batch: Rows) -> dict[str, Tensor]:
        """L = MSE + δ_va·(L_v + L_a) + δ_nce·L_nce; a part whose weight is 0 is not computed."""
        utterances, labels = self.corpus.splits["train"].take(batch)
        guided = self.model(utterances)
        parts = {"mse": F.mse_loss(guided.prediction, labels)}
        total = parts["mse"]
        if self.loss.delta_va:
            distilled = self._distillation(guided, batch)
            total = total + self.loss.delta_va * torch.stack(list(distilled.values())).sum()
            parts |= distilled
        if self.loss.delta_nce:
            parts["nce"] = self._contrast(guided)
            total = total + self.loss.delta_nce * parts["nce"]
        torch.autograd.backward(total)
        return {name: value.detach() * len(batch) for name, value in {"loss": total, **parts}.items()}

    def validate(self) -> Validation:
        """Metrics of the val split, and the mean guidance weight of each modality there."""
        predictions, labels, guidance = self.predict("val")
        weights = {f"{GUIDANCE}_{name}": float(guidance[:, place].mean()) for place, name in enumerate(MODALITIES)}
        return Validation(scores("val", predictions, labels), {GUIDANCE: weights})

    @torch.no_grad()
    def predict(self, split: str) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Predictions (n,), labels (n,) and guidance weights (n, 3) of a split, in its order."""
        self.model.eval()
        data = self.corpus.splits[split]
        outputs = [self.model(data.take(rows)[0]) for rows in cut(np.arange(len(data)), self.train.batch_size)]
        prediction, guidance = (
            torch.cat([getattr(one, name) for one in outputs]) for name in ("prediction", "guidance")
        )
        return tuple(values.double().cpu().numpy() for values in (prediction, data.labels, guidance))  # type: ignore[return-value]

    def ids(self, split: str) -> list[str]:
        """The utterances of a split, in its order."""
        return self.corpus.splits[split].ids

    def metrics(self, split: str, predictions: Values, labels: Values) -> dict[str, float]:
        return scores(split, predictions, labels)

    def baselines(self, split: str, labels: Values) -> dict[str, float]:
        """The errors of the mean of the train split."""
        difference = labels - float(self.corpus.splits["train"].labels.mean())
        return {
            f"{split}_mae_of_mean": float(abs(difference).mean()),
            f"{split}_mse_of_mean": float((difference**2).mean()),
        }

    def _distillation(self, guided: Guided, batch: Rows) -> dict[str, Tensor]:
        """L_v and L_a: how far the guided vectors are from what the teachers say of the same utterances."""
        distance, rows = DISTANCES[self.loss.distance], torch.from_numpy(batch)
        return {
            f"distillation_{name}": distance(
                self.model.as_teacher(name, guided.vectors[name]), features[rows.to(features.device)]
            )
            for name, features in self.corpus.teachers.items()
        }

    def _contrast(self, guided: Guided) -> Tensor:
        """L_nce: vision → text and audio → text."""
        text, temperature = guided.vectors["text"], self.loss.temperature
        return info_nce_to(guided.vectors["vision"], text, temperature) + info_nce_to(
            guided.vectors["audio"], text, temperature
        )
