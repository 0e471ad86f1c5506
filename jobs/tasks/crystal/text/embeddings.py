"""What a frozen text encoder makes of the descriptions of a data set, as tensors on a device, and batches of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.content_cache import by_shard, load_array
from jobs.tasks.crystal.schema import TextParams
from jobs.tasks.crystal.text.embedding_cache import EmbeddingCache, Slice, text_key
from models.batch import TextBatch
from models.encoders.text_folder import width_of

ON_DEVICE = 4 << 30  # bytes; more tokens than this stay on disk, memory-mapped, and are copied batch by batch


def embed(
    texts: Sequence[str | None],
    choice: TextParams,
    root: Path,
    *,
    want_tokens: bool = False,
    device: torch.device | str = "cpu",
    download: bool = False,
    workers: int = 1,
    log: Callable[[str], None] = lambda text: None,
) -> Embeddings:
    """The embedding of each text, from the cache below `root`; new texts are encoded on `device` and kept.

    Many new texts are shared among `workers` processes where `device` is the CPU.

    None, a crystal without description, gets zeros and counts as absent. Raises UserError where the encoder is not on
    this machine (with `download`, where it cannot be fetched), CommandFailed where the cache cannot be written.
    """
    cache = EmbeddingCache(choice, root, device, download, workers)
    vectors, tokens = cache.fill({text_key(text): text for text in texts if text is not None}, want_tokens, log)
    keys = [None if text is None else text_key(text) for text in texts]
    pooled = np.zeros((len(texts), width_of(choice.encoder, choice.revision)), dtype=np.float32)
    for shard, (members, rows) in by_shard(None if key is None else vectors[key] for key in keys).items():
        pooled[members] = load_array(shard, "pooled")[rows]
    present = torch.tensor([key is not None for key in keys])
    slices = [tokens[key] if key else None for key in keys] if want_tokens else None
    table = None if slices is None else Tokens(slices, pooled.shape[1], device)
    return Embeddings(torch.from_numpy(pooled), present, table, device)


class Embeddings:
    """The descriptions of C crystals as an encoder sees them."""

    def __init__(self, vector: Tensor, present: Tensor, tokens: Tokens | None, device: torch.device | str) -> None:
        self.vector = vector.to(device)  # (C, d) float32; zeros where there is no text
        self.present = present.to(device)  # (C,) bool
        self.tokens = tokens

    @property
    def width(self) -> int:
        return int(self.vector.shape[1])

    def batch(self, positions: Sequence[int] | NDArray[np.integer[Any]] | Tensor) -> TextBatch:
        """The crystals at `positions`. Positions on the host spare a wait for the device where tokens are read."""
        chosen = torch.as_tensor(positions, device=self.vector.device)
        vector, present = self.vector[chosen], self.present[chosen]
        if self.tokens is None:
            return TextBatch(vector, present)
        tokens, mask = self.tokens.batch(torch.as_tensor(positions).cpu().numpy())
        return TextBatch(vector, present, tokens, mask)


class Tokens:
    """The token embeddings of C crystals, on the device where they fit."""

    def __init__(self, slices: Sequence[Slice | None], width: int, device: torch.device | str) -> None:
        self.device = torch.device(device)
        self.sizes = np.array(
            [0 if entry is None else entry[2] for entry in slices]
        )  # on the host: lengths make shapes
        self.starts = np.cumsum(self.sizes) - self.sizes
        self._mapped = {entry[0]: load_array(entry[0], "tokens") for entry in slices if entry is not None}
        self._slices = list(slices)
        self.width = width
        fits = 2 * self.width * int(self.sizes.sum()) <= ON_DEVICE
        everything = np.concatenate([self._rows(entry) for entry in (None, *slices)]) if fits else None
        self._resident = None if everything is None else torch.from_numpy(everything).to(self.device)  # (Σ sizes, d)

    def batch(self, positions: NDArray[np.integer[Any]]) -> tuple[Tensor, Tensor]:
        """(B, L, d) float32, zeros where padded, and (B, L) bool; L is the longest of the batch, at least 1."""
        sizes = self.sizes[positions]
        longest = max(1, int(sizes.max(initial=0)))
        mask = torch.from_numpy(np.arange(longest) < sizes[:, None]).to(self.device, non_blocking=True)
        if self._resident is not None and len(self._resident):
            start = torch.from_numpy(self.starts[positions]).to(self.device, non_blocking=True)
            place = start[:, None] + torch.arange(longest, device=self.device)
            return self._resident[place.clamp(max=len(self._resident) - 1)].float() * mask.unsqueeze(2), mask
        padded = np.zeros((len(positions), longest, self.width), dtype=np.float16)
        for row, position in enumerate(positions):
            padded[row, : sizes[row]] = self._rows(self._slices[position])
        return torch.from_numpy(padded).to(self.device).float(), mask

    def _rows(self, entry: Slice | None) -> NDArray[np.float16]:
        if entry is None:
            return np.zeros((0, self.width), dtype=np.float16)
        shard, start, size = entry
        return self._mapped[shard][start : start + size]
