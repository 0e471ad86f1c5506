"""What the fusions of a trained model do on crystals of the train and val splits. The test split is never read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.tasks.crystal.batching import Positions
from jobs.tasks.crystal.learner import CrystalLearner
from models.fusion.records import LayerRecord, Records

SPLITS = ("train", "val")
UNGATED = "w_text"  # what stands for the gate in a fusion that has weights instead


def sampled(learner: CrystalLearner, split: str, samples: int | None) -> Positions:
    """Positions of `samples` crystals of a split, evenly spread over it; all of them for None."""
    if split not in SPLITS:
        raise ValueError(f"split {split!r}; allowed: {', '.join(SPLITS)}")
    places = np.asarray(learner.corpus.places[split])
    if samples is None or samples >= len(places):
        return places
    return places[np.linspace(0, len(places) - 1, samples).round().astype(np.int64)]


def observe(learner: CrystalLearner, positions: Positions, records: Records) -> float:
    """Let `records` see the crystals at `positions`, as the best epoch would treat them; the metric's error on them."""
    predictions, targets = learner.predict_at(positions, records)
    return learner.metrics("val", predictions, targets)[learner.metric]


def quantities(learner: CrystalLearner, samples: int | None = None) -> dict[str, dict[str, dict[str, float]]]:
    """Split → layer → what its fusion reports over `samples` crystals of the split."""
    reported = {}
    for split in SPLITS:
        records = Records()
        error = {learner.metric.removeprefix("val_"): observe(learner, sampled(learner, split, samples), records)}
        reported[split] = {layer: values | error for layer, values in records.summary().items()}
    return reported


class GateRecord(LayerRecord):
    """Keeps every gate, besides its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.gates: list[Tensor] = []  # of each batch: (N, channels) of atoms, or (B, channels) of crystals
        self.instead: list[Tensor] = []  # (N, 1) w_text

    def gate(self, gate: Tensor, weight: Tensor | None = None) -> None:
        super().gate(gate, weight)
        self.gates.append(gate.detach().float().cpu().reshape(len(gate), -1))

    def mean(self, name: str, values: Tensor, weight: Tensor | None = None) -> None:
        super().mean(name, values, weight)
        if name == UNGATED:
            self.instead.append(values.detach().float().cpu().reshape(len(values), -1))


@dataclass(frozen=True)
class Gates:
    """The gates of one layer."""

    layer: str  # an ALIGNN layer, or `late`
    values: NDArray[np.float32]  # (rows, channels) in (0, 1); one row per atom of the model's graphs, or per crystal
    of_atoms: bool


def gates(learner: CrystalLearner, positions: Positions) -> list[Gates]:
    """The gates of every fused layer for the crystals at `positions`; of a fusion without one, its w_text.

    Empty where no fusion has either.
    """
    made: list[GateRecord] = []

    def make() -> GateRecord:
        made.append(GateRecord())
        return made[-1]

    records = Records(make)
    observe(learner, positions, records)
    return [
        Gates(layer, torch.cat(kept).numpy(), of_atoms=layer.isdigit())
        for layer, record in zip(records.names, made, strict=True)
        if (kept := record.gates or record.instead)
    ]
