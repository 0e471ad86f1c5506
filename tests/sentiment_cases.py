"""Small sentiment models and data sets. Used by tests."""

from __future__ import annotations

from typing import Any

import torch

from jobs.tasks.sentiment.schema import SentimentParams
from models.sentiment.model import SentimentModel
from models.sentiment.options import SentimentModelOptions
from models.sentiment.sequences import Sequences, Utterances

WIDTHS = {"text": 6, "vision": 5, "audio": 4}
LENGTHS = {"text": (4, 2, 3), "vision": (1, 5, 3), "audio": (6, 2, 1)}  # of three utterances


def small_model(teachers: dict[str, int] | None = None, **options: Any) -> SentimentModel:
    torch.manual_seed(0)
    chosen = SentimentModelOptions(**{"width": 8, "num_heads": 2, "dropout": 0.0, **options})
    return SentimentModel(chosen, WIDTHS, teachers).double().eval()


def utterances(*, padding: int = 0, filled_with: float = 0.0) -> Utterances:
    """Three utterances, each padded to the longest and `padding` further positions."""
    random = torch.Generator().manual_seed(1)
    found = {}
    for name, lengths in LENGTHS.items():
        values = torch.randn(3, max(lengths), WIDTHS[name], generator=random, dtype=torch.float64)
        more = torch.zeros(3, padding, WIDTHS[name], dtype=torch.float64)
        mask = torch.arange(max(lengths) + padding) < torch.tensor(lengths)[:, None]
        values = torch.cat([values, more], dim=1).masked_fill(~mask.unsqueeze(2), filled_with)
        found[name] = Sequences(values, mask)
    return Utterances(**found)


def only(number: int, whole: Utterances) -> Utterances:
    """One utterance without its padding."""
    found = {}
    for name, lengths in LENGTHS.items():
        its = getattr(whole, name)
        end = lengths[number]
        found[name] = Sequences(its.values[number : number + 1, :end], its.mask[number : number + 1, :end])
    return Utterances(**found)


def tiny_params(**changes: Any) -> SentimentParams:
    """A run of a second; `changes` are of whole sections."""
    sections: dict[str, Any] = {
        "planted": {
            "train": 40, "valid": 20, "test": 20, "length": 4, "text_width": 8, "vision_width": 6, "audio_width": 6,
        },
        "model": {"width": 8, "num_heads": 2},
        "teachers": {"name": "trained", "width": 8, "epochs": 2},
        "train": {"epochs": 3, "batch_size": 16},
    }  # fmt: skip
    return SentimentParams.model_validate({name: {**sections.get(name, {}), **changes.get(name, {})}
                                           for name in sections.keys() | changes.keys()})  # fmt: skip
