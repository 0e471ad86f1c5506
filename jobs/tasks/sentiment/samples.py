"""The utterances of a data set: sequences of three modalities and the sentiment, split by split, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.sentiment.options import MODALITIES
from runner.errors import UserError

SPLITS = ("train", "val", "test")
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Modality:
    """The sequences of one modality."""

    values: Floats  # (n, L, d)
    mask: Mask  # (n, L); True: a position of the sequence; at least one in each

    def take(self, rows: NDArray[np.int64]) -> Modality:
        return Modality(self.values[rows], self.mask[rows])


@dataclass(frozen=True)
class Split:
    """The utterances of one split."""

    ids: list[str]
    labels: Floats  # (n,) sentiment in [−3, 3]
    modalities: dict[str, Modality]  # text, vision, audio

    def take(self, rows: NDArray[np.int64]) -> Split:
        """The utterances at `rows`."""
        modalities = {name: modality.take(rows) for name, modality in self.modalities.items()}
        return Split([self.ids[row] for row in rows], self.labels[rows], modalities)


@dataclass(frozen=True)
class Samples:
    """A data set of utterances."""

    splits: dict[str, Split]  # by SPLITS
    notes: tuple[str, ...] = ()  # what a reader of the results must know

    @property
    def widths(self) -> dict[str, int]:
        """Modality → features per position."""
        return {name: self.splits["train"].modalities[name].values.shape[2] for name in MODALITIES}

    def subset(self, sizes: dict[str, int | None], seed: int) -> Samples:
        """So many utterances of each split (None: all), chosen by `seed`, in their order; smaller ones lie in larger.

        Raises UserError for more than there are.
        """
        chosen = {}
        for name, split in self.splits.items():
            size, available = sizes[name], len(split.ids)
            if size is not None and size > available:
                raise UserError(f"data.{name}: found {size}, but the data set has {available} utterances there")
            order = np.random.default_rng([seed, SPLITS.index(name)]).permutation(available)
            chosen[name] = split if size is None else split.take(np.sort(order[:size]))
        return replace(self, splits=chosen)

    def standardised(self) -> Samples:
        """Vision and audio features with mean 0 and sd 1 over the positions of the train split; padding is 0."""
        changed = {name: dict(split.modalities) for name, split in self.splits.items()}
        for modality in MODALITIES[1:]:
            train = self.splits["train"].modalities[modality]
            known = train.values[train.mask].astype(np.float64)
            mean, deviation = known.mean(0), known.std(0)
            deviation[deviation < 1e-6] = 1.0  # a feature that never changes: nothing to scale
            mean, deviation = mean.astype(np.float32), deviation.astype(np.float32)  # as large files need
            for name, split in self.splits.items():
                sequences = split.modalities[modality]
                scaled = (sequences.values - mean) / deviation
                scaled[~sequences.mask] = 0.0
                changed[name][modality] = Modality(scaled, sequences.mask)
        splits = {name: replace(split, modalities=changed[name]) for name, split in self.splits.items()}
        return replace(self, splits=splits)


def mask_of_lengths(lengths: NDArray[Any], longest: int) -> Mask:
    """(n,) → (n, longest); the first `length` positions of each; a sequence without any has its first."""
    return np.arange(longest) < np.maximum(lengths, 1)[:, None]  # type: ignore[no-any-return]
