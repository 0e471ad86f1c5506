"""The embeddings of texts on disk: encoded once for an encoder, a pooling and a length limit.

Vectors are found by encoder, pooling, length limit and text; so a second description, target or seed encodes only
texts that were never seen. Token embeddings are kept apart, in float16, because they are some hundred times larger.

On a CPU each text is encoded by itself in one thread. That costs no more than batches do there, and the numbers of a
text do not depend on which others were encoded with it: a run can be repeated bit for bit with a cache that was filled
in another order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from jobs.content_cache import content_key, find_in_shards, load_array, publish_shard, save_arrays
from jobs.launch import mapping
from jobs.tasks.crystal.schema import TextParams
from jobs.training.device import one_thread
from models.encoders.text import TextEncoder
from models.encoders.text_folder import EncoderMissing, locate
from runner.errors import UserError

VERSION = 1  # of the arrays; raised when they change, so that old shards are not read
SHARD = 2048  # texts per shard at most, so that an interrupted build keeps what it has
WORTH_PROCESSES = 256  # texts; fewer are encoded before further processes have loaded the encoder

Slice = tuple[Path, int, int]  # a shard, the first row and the number of rows in its token table


def text_key(text: str) -> str:
    """32 hex digits that name a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class EmbeddingCache:
    """The shards of one encoder, pooling and length limit."""

    def __init__(
        self, choice: TextParams, root: Path, device: torch.device | str, download: bool, workers: int
    ) -> None:
        self.choice, self.root, self.device, self.workers = choice, root, torch.device(device), workers
        try:
            _, self.identity = _located(choice, download)
        except EncoderMissing as error:
            raise UserError(str(error), next_command="runner prepare CONFIG, on the login node") from error
        name = choice.encoder.rstrip("/").rpartition("/")[2]
        kept = [self.identity, choice.max_length, VERSION]
        self.vectors = root / "embeddings" / f"{name}-{content_key([*kept, choice.pooling])}"
        self.tokens = root / "embeddings" / f"{name}-tokens-{content_key(kept)}"

    def fill(
        self, texts: dict[str, str], want_tokens: bool, log: Callable[[str], None]
    ) -> tuple[dict[str, tuple[Path, int]], dict[str, Slice]]:
        """Encode what is missing; where every vector, and every token slice if wanted, stands."""
        has_tokens = find_in_shards(texts, self.tokens) if want_tokens else texts
        no_tokens = [key for key in texts if key not in has_tokens]
        known = find_in_shards(texts, self.vectors)
        no_vector = [key for key in texts if key not in known and key not in set(no_tokens)]
        if no_tokens or no_vector:
            log(f"encoding {len(no_tokens) + len(no_vector):,} descriptions with {self.choice.encoder}")
            for keys, with_tokens in ((no_tokens, True), (no_vector, False)):
                for start in range(0, len(keys), SHARD):
                    self._write(keys[start : start + SHARD], texts, with_tokens, known)
        return find_in_shards(texts, self.vectors), self._token_slices(texts) if want_tokens else {}

    def _write(self, keys: list[str], texts: dict[str, str], with_tokens: bool, known: dict[str, Any]) -> None:
        """Encode one shard's texts; vectors that are known already are not written again."""
        pooled_rows, tables = self._encode([texts[key] for key in keys], with_tokens)
        if tables:
            publish_shard(self.tokens, self.root, "token embeddings", keys, partial(save_arrays, arrays=tables))
        if fresh := [row for row, key in enumerate(keys) if key not in known]:
            fill = partial(save_arrays, arrays={"pooled": pooled_rows[fresh]})
            publish_shard(self.vectors, self.root, "embeddings", [keys[row] for row in fresh], fill)

    def _encode(self, texts: list[str], with_tokens: bool) -> Encoded:
        """Encode `texts`, in several processes where that pays."""
        pays = self.device.type == "cpu" and len(texts) >= WORTH_PROCESSES
        workers = max(1, self.workers if pays else 1)
        parts = [list(part) for part in np.array_split(np.array(texts, dtype=object), workers)]
        with mapping(workers) as mapped:
            run = partial(encode, choice=self.choice, want_tokens=with_tokens, device=str(self.device))
            vectors, tables = zip(*mapped(run, parts), strict=True)
        return np.concatenate(vectors), {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}

    def _token_slices(self, texts: dict[str, str]) -> dict[str, Slice]:
        places = find_in_shards(texts, self.tokens)
        ends = {shard: np.cumsum(load_array(shard, "sizes")) for shard in {shard for shard, _ in places.values()}}
        sizes = {shard: np.diff(end, prepend=0) for shard, end in ends.items()}
        return {
            key: (shard, int(ends[shard][row] - sizes[shard][row]), int(sizes[shard][row]))
            for key, (shard, row) in places.items()
        }


def _located(choice: TextParams, download: bool) -> tuple[Path, str]:
    """The encoder's folder and identity; fetched first where it is missing and may be fetched."""
    try:
        return locate(choice.encoder, choice.revision)
    except EncoderMissing:
        if not download:
            raise
        TextEncoder.load(choice.encoder, choice.revision, download=True)
        return locate(choice.encoder, choice.revision)


Encoded = tuple[NDArray[np.float32], dict[str, NDArray[Any]]]  # (n, d) vectors; tables of tokens, empty if not wanted


def encode(texts: list[str], choice: TextParams, want_tokens: bool, device: str) -> Encoded:
    """Vectors of `texts`, and their tokens one after the other in float16 with the number of each text's."""
    encoder = TextEncoder.load(choice.encoder, choice.revision).to(device)
    on_cpu = torch.device(device).type == "cpu"
    with one_thread(on_cpu):
        encoded = encoder.encode(
            texts,
            pooling=choice.pooling,
            max_length=choice.max_length,
            batch_size=1 if on_cpu else 64,
            want_tokens=want_tokens,
        )
    tables: dict[str, NDArray[Any]] = {}
    if encoded.tokens is not None and encoded.token_mask is not None:
        flat = encoded.tokens[encoded.token_mask].to(torch.float16).numpy()
        tables = {"tokens": flat, "sizes": encoded.token_mask.sum(1).numpy()}
    return encoded.pooled.numpy(), tables
