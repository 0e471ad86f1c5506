"""The crystals of a run on the device: graphs, texts and targets, and batches formed there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.tasks.crystal.data import sources
from jobs.tasks.crystal.data.properties import refuse_without_logarithm
from jobs.tasks.crystal.data.records import SPLITS
from jobs.tasks.crystal.data.splits import choose
from jobs.tasks.crystal.graphs.store import GraphStore
from jobs.tasks.crystal.schema import CrystalParams
from jobs.tasks.crystal.text.descriptions import describe
from jobs.tasks.crystal.text.embeddings import Embeddings, embed
from models.batch import GraphBatch, TextBatch
from runner.errors import UserError


@dataclass(frozen=True)
class Items:
    """One batch of crystals."""

    graph: GraphBatch | None
    text: TextBatch | None
    target: Tensor  # (B,) normalised; a class is 0 or 1


@dataclass(frozen=True)
class Corpus:
    """All crystals of a run, train first, then val, then test."""

    ids: list[str]
    places: dict[str, range]  # split → positions
    graphs: GraphStore | None  # None: the model reads no graph
    descriptions: list[str | None] | None  # what the texts say; None: the model reads no text
    texts: Embeddings | None  # the descriptions as the encoder sees them
    target: Tensor  # (C,) in the target's own unit; 0 or 1 where it is a class
    mean: float  # of the train split's targets, or of their logarithms; 0 for classes
    deviation: float  # their standard deviation; 1 for classes
    classes: bool  # two classes; predictions are logits
    notes: list[str]  # what a reader of the results must know
    logarithm: bool = False  # the model learns the decimal logarithm of the target

    def items(self, positions: np.ndarray, hidden: Tensor | None = None, texts: np.ndarray | None = None) -> Items:
        """The crystals at `positions`; where `hidden` (B,) is true the text is treated as missing.

        `texts`: positions of the crystals whose texts they are given, where not their own.
        """
        chosen = torch.from_numpy(positions).to(self.target.device)
        text = self.texts.batch(positions if texts is None else texts) if self.texts is not None else None
        if text is not None and hidden is not None:
            text = TextBatch(text.vector, text.present & ~hidden, text.tokens, text.token_mask)
        graph = self.graphs.batch(positions) if self.graphs is not None else None
        target = self.target[chosen].log10() if self.logarithm else self.target[chosen]
        return Items(graph, text, (target - self.mean) / self.deviation)

    def original(self, normalised: Tensor) -> Tensor:
        """Predictions in the target's own unit; of classes the probability of 1."""
        if self.classes:
            return torch.sigmoid(normalised)
        scaled = normalised * self.deviation + self.mean
        return 10**scaled if self.logarithm else scaled

    @property
    def splits(self) -> dict[str, list[str]]:
        """Split → ids of its crystals."""
        return {name: [self.ids[place] for place in places] for name, places in self.places.items()}

    @property
    def typical(self) -> float:
        """A prediction without a model: the mean of the train targets, or ten to the mean of their logarithms."""
        return float(10**self.mean if self.logarithm else self.mean)


def gather(
    params: CrystalParams, cache_root: Path, device: torch.device, workers: int, log: Callable[[str], None]
) -> Corpus:
    """Read, split, describe and embed the crystals of `params`; whatever was computed before comes from the cache.

    Raises UserError where the data are missing or do not have what is asked for.
    """
    data = sources.load(params.data.dataset, params.data.target, cache_root)
    split = choose(data.crystals, params.data, params.data.dataset)
    by_id = {crystal.material_id: crystal for crystal in data.crystals}
    crystals = [by_id[material_id] for material_id in split.all_ids]
    ends = accumulate(len(split.ids[name]) for name in SPLITS)
    places = {name: range(end - len(split.ids[name]), end) for name, end in zip(SPLITS, ends, strict=True)}
    target = np.array([crystal.targets[params.data.target] for crystal in crystals])
    if (classify := params.data.classify) is not None:
        target = two_classes(target, classify.threshold, places)
    refuse_without_logarithm(crystals, params.data.target, params.data.scale)
    logarithm = params.data.scale == "log10"
    train = target[places["train"].start : places["train"].stop]
    train = np.log10(train) if logarithm else train
    descriptions = describe(crystals, params.text.describe, cache_root, log) if params.reads_text else None
    graphs = None
    if params.model.uses_graph:
        graphs = GraphStore.open(crystals, params.graph, cache_root, workers=workers, device=device, log=log)
    return Corpus(
        ids=[crystal.material_id for crystal in crystals],
        places=places,
        graphs=graphs,
        descriptions=descriptions,
        texts=None if descriptions is None else embedded(descriptions, params, cache_root, device, log),
        target=torch.tensor(target, dtype=torch.float32, device=device),
        mean=0.0 if classify else float(train.mean()),
        deviation=1.0 if classify else float(train.std()) or 1.0,  # all targets equal: nothing to scale
        classes=classify is not None,
        notes=[
            *data.notes,
            *split.notes,
            *(rare_class(train) if classify else far_targets(target, params.data.target)),
        ],
        logarithm=logarithm,
    )


def two_classes(values: NDArray[np.float64], threshold: float, places: dict[str, range]) -> NDArray[np.float64]:
    """1 above `threshold`, else 0; UserError for a split that has one class only, where nothing can be judged."""
    classes = (values > threshold).astype(np.float64)
    for split, positions in places.items():
        if len(set(classes[positions])) < 2:
            lowest, median, highest = np.percentile(values, (0, 50, 100))
            side = "above" if classes[positions.start] else "at or below"
            raise UserError(
                f"data.classify: all {len(positions)} {split} crystals are {side} {threshold:g}; the values go from "
                f"{lowest:.4g} to {highest:.4g} with median {median:.4g}: choose another threshold, or more crystals"
            )
    return classes


RARE = 3.0  # of one class to one of the other


def rare_class(classes: NDArray[np.float64]) -> list[str]:
    """A note where one class is so rare that answering with the other has a high accuracy."""
    majority = max(classes.mean(), 1 - classes.mean())
    if majority <= RARE * (1 - majority):
        return []
    return [
        f"{1 - majority:.1%} of the train crystals are of the rarer class: accuracy is {majority:.3f} without a model; "
        "val_ap and val_f1 say more, and train.positive_weight: auto gives both classes the same weight"
    ]


FAR = 20.0  # interquartile ranges


def far_targets(values: NDArray[np.float64], name: str) -> list[str]:
    """A note on values so far from the others that they are more likely mistakes, or another unit."""
    lower, upper = np.percentile(values, (25, 75))
    far = values[(values < lower - FAR * (upper - lower)) | (values > upper + FAR * (upper - lower))]
    if upper == lower or not len(far):
        return []
    return [
        f"{name}: {len(far):,} of {len(values):,} values lie beyond {FAR:g} interquartile ranges, such as "
        f"{far[np.abs(far).argmax()]:.4g} (half of all: {lower:.4g} to {upper:.4g}); look for another unit or mistakes"
    ]


def embedded(
    descriptions: Sequence[str | None],
    params: CrystalParams,
    cache_root: Path,
    device: torch.device,
    log: Callable[[str], None],
) -> Embeddings:
    """The descriptions as the run's encoder sees them, with their tokens where a fusion attends to them."""
    return embed(descriptions, params.text, cache_root, want_tokens=params.model.reads_tokens, device=device, log=log)
