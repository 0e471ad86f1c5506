"""The utterances of a run on the device, and batches formed there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.tasks.sentiment import mmsa
from jobs.tasks.sentiment.samples import Modality, Samples, Split
from jobs.tasks.sentiment.schema import GENERATED, SentimentParams
from jobs.tasks.sentiment.synthetic import generate
from models.sentiment.options import MODALITIES
from models.sentiment.sequences import Sequences, Utterances

Rows = NDArray[np.int64]


def read(params: SentimentParams) -> Samples:
    """Read or generate the data set, take the subset, standardise; UserError where the file is wrong."""
    data = params.data
    whole = generate(params.planted) if data.dataset == GENERATED else mmsa.load(Path(data.dataset).expanduser())
    samples = whole.subset({"train": data.train, "val": data.val, "test": data.test}, data.seed)
    return samples.standardised() if data.standardise else samples


class ResidentSequences:
    """The sequences of one modality and split, all on the device."""

    def __init__(self, modality: Modality, device: torch.device | str) -> None:
        self.values = torch.from_numpy(modality.values).to(device)
        self.mask = torch.from_numpy(modality.mask).to(device)
        self.ends: Rows = modality.mask.shape[1] - modality.mask[:, ::-1].argmax(1)  # one after the last position

    def take(self, rows: Rows) -> Sequences:
        """The sequences at `rows`, as long as the longest of them."""
        chosen, end = torch.from_numpy(rows).to(self.mask.device), int(self.ends[rows].max())
        return Sequences(self.values[chosen, :end], self.mask[chosen, :end])


class ResidentSplit:
    """The utterances of one split on the device."""

    def __init__(self, split: Split, device: torch.device | str) -> None:
        self.ids = split.ids
        self.labels = torch.from_numpy(split.labels).to(device)  # (n,)
        self.modalities = {name: ResidentSequences(split.modalities[name], device) for name in MODALITIES}

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Rows) -> tuple[Utterances, Tensor]:
        """The utterances at `rows`, and their labels (B,)."""
        sequences = {name: resident.take(rows) for name, resident in self.modalities.items()}
        return Utterances(**sequences), self.labels[torch.from_numpy(rows).to(self.labels.device)]


@dataclass(frozen=True)
class Corpus:
    """All utterances of a run, and what the teachers say of the train split."""

    splits: dict[str, ResidentSplit]
    widths: dict[str, int]  # modality → features per position
    teachers: dict[str, Tensor]  # vision, audio → (n_train, d) features; empty where nothing is distilled
    notes: tuple[str, ...]

    @classmethod
    def of(cls, samples: Samples, teachers: dict[str, NDArray[np.float32]], device: torch.device | str) -> Corpus:
        """On `device`; float32."""
        return cls(
            {name: ResidentSplit(split, device) for name, split in samples.splits.items()},
            samples.widths,
            {name: torch.tensor(features, device=device) for name, features in teachers.items()},
            samples.notes,
        )
