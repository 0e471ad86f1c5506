"""Utterances whose sentiment is a known mixture of what each modality says."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.tasks.sentiment.mmsa import IN_FILE
from jobs.tasks.sentiment.samples import SPLITS, Modality, Samples, Split, mask_of_lengths
from jobs.tasks.sentiment.schema import Planted
from models.sentiment.options import MODALITIES

LONGER = {"text": 1.0, "vision": 1.5, "audio": 2.0}  # than the text, where unaligned


def generate(planted: Planted) -> Samples:
    """The data set that `planted` describes; the same at every call.

    Each modality m has a hidden number z_m ~ N(0, 1) an utterance, seen in that modality alone: a position holds
    z_m·(a fixed direction) + noise. sentiment = 1.2·Σ √s_m·z_m, cut to [−3, 3], where s_m is the importance of m: its
    share of the variance. So the best possible model weighs m by √s_m. All splits share the directions.
    """
    random = np.random.default_rng(planted.seed)
    given = planted.importance.model_dump()
    shares = {name: value / (sum(given.values()) or 1.0) for name, value in given.items()}
    widths = {name: getattr(planted, f"{name}_width") for name in MODALITIES}
    directions = {name: random.standard_normal(width) / np.sqrt(width) * 3 for name, width in widths.items()}
    splits = {}
    for split in SPLITS:
        count = getattr(planted, IN_FILE[split])
        hidden = {name: random.standard_normal(count) for name in MODALITIES}
        mixture = sum(np.sqrt(shares[name]) * hidden[name] for name in MODALITIES)
        labels = np.clip(1.2 * mixture, -3, 3).astype(np.float32)
        lengths = random.integers(max(1, planted.length // 2), planted.length + 1, count)
        modalities = {
            name: _sequences(planted, name, hidden[name], directions[name], lengths, random) for name in MODALITIES
        }
        splits[split] = Split([f"{split}-{number:05d}" for number in range(count)], labels, modalities)
    return Samples(splits)


def _sequences(
    planted: Planted,
    name: str,
    hidden: NDArray[np.float64],
    direction: NDArray[np.float64],
    lengths: NDArray[Any],
    random: np.random.Generator,
) -> Modality:
    """Positions that hold the hidden number along a direction, and noise."""
    longest = planted.length
    if not planted.aligned:
        longest = round(longest * LONGER[name])
        lengths = np.clip(np.rint(lengths * LONGER[name]), 1, longest).astype(np.int64)
    shape = (len(hidden), longest, len(direction))
    values = random.standard_normal(shape, dtype=np.float32) * np.float32(planted.noise)
    values += (hidden[:, None, None] * direction).astype(np.float32)
    mask = mask_of_lengths(lengths, longest)
    values[~mask] = 0.0
    return Modality(values, mask)
