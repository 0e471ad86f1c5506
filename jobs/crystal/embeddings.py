"""Embeddings of descriptions by a frozen text encoder: computed once a text, kept in the cache, read by every run.

On a CPU each text is encoded by itself in one thread. That costs no more than batches do there, and the numbers of a
text do not depend on which other texts were encoded with it: runs can be repeated bit for bit with a cache that
was filled in another order.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.caches import content_key, load_array, publish, save_arrays
from models.batch import TextBatch
from models.text import EncoderMissing, TextEncoder, locate
from runner.errors import UserError

VERSION = 1  # raised when the way of encoding changes, so that old shards are not read
SHARD = 1024  # texts a shard at most, so that an interrupted build keeps what it has
WORTH_PROCESSES = 256  # texts; fewer are encoded before further processes have loaded the encoder


class TextChoice(Protocol):
    """The text parameters."""

    @property
    def encoder(self) -> str: ...
    @property
    def revision(self) -> str | None: ...
    @property
    def pooling(self) -> Literal["cls", "mean"]: ...
    @property
    def max_length(self) -> int: ...


@dataclass(frozen=True)
class Embeddings:
    """The texts of C crystals on a device."""

    vectors: Tensor  # (C, d) pooled; zeros where there is no text
    present: Tensor  # (C,) bool
    tokens: Tensor | None = None  # (C, L, d), zeros where padded; None unless wanted
    token_mask: Tensor | None = None  # (C, L) bool

    @property
    def width(self) -> int:
        return int(self.vectors.shape[1])

    def batch(self, chosen: Tensor) -> TextBatch:
        """The texts at positions `chosen` (B,) on the device."""
        if self.tokens is None or self.token_mask is None:
            return TextBatch(self.vectors[chosen], self.present[chosen])
        return TextBatch(self.vectors[chosen], self.present[chosen], self.tokens[chosen], self.token_mask[chosen])


def embed(
    texts: Sequence[str | None],
    choice: TextChoice,
    root: Path,
    *,
    want_tokens: bool = False,
    device: torch.device | str = "cpu",
    workers: int = 1,
    log: Callable[[str], None] = lambda text: None,
) -> Embeddings:
    """The embeddings of `texts`, in this order, from the cache below `root`; missing ones are computed and kept.

    Raises UserError where the encoder is not on this machine.
    """
    try:
        _, identity = locate(choice.encoder, choice.revision)
    except EncoderMissing as error:
        raise UserError(f"text.encoder: {error}") from None
    folder = shard_folder(identity, choice, want_tokens, root)
    keys = [None if text is None else _key(text) for text in texts]
    found = _find({key for key in keys if key}, folder)
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key and text and key not in found}
    if missing:
        log(f"embedding {len(missing):,} descriptions with {choice.encoder}")
        _fill(missing, choice, folder, root, want_tokens, device, workers)
        found = _find({key for key in keys if key}, folder)
    return _gathered([found[key] if key else None for key in keys], want_tokens, identity, choice, device)


def shard_folder(identity: str, choice: TextChoice, want_tokens: bool, root: Path) -> Path:
    """Where the embeddings of these text parameters lie."""
    name = choice.encoder.rstrip("/").rpartition("/")[2] or "encoder"
    key = content_key([identity, choice.pooling, choice.max_length, want_tokens, VERSION])
    return root / "embeddings" / f"{name}-{'tokens' if want_tokens else choice.pooling}-{key}"


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _find(wanted: set[str], folder: Path) -> dict[str, tuple[Path, int]]:
    found: dict[str, tuple[Path, int]] = {}
    for shard in sorted(folder.glob("shard-*")):
        for position, key in enumerate(load_array(shard, "keys").astype(str).tolist()):
            if key in wanted:
                found[key] = (shard, position)
    return found


def _fill(
    missing: dict[str, str],
    choice: TextChoice,
    folder: Path,
    root: Path,
    want_tokens: bool,
    device: torch.device | str,
    workers: int,
) -> None:
    by_length = sorted(missing, key=lambda key: (len(missing[key]), key))
    shards = [by_length[start : start + SHARD] for start in range(0, len(by_length), SHARD)]
    job: dict[str, Any] = {
        "name": choice.encoder,
        "revision": choice.revision,
        "pooling": choice.pooling,
        "max_length": choice.max_length,
        "want_tokens": want_tokens,
        "device": str(device),
    }
    on_cpu = torch.device(device).type == "cpu"
    if workers > 1 and on_cpu and len(missing) >= WORTH_PROCESSES:
        size = -(-len(by_length) // workers)
        shards = [by_length[at::workers] for at in range(workers)] if size <= SHARD else shards
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            waiting = [pool.submit(encode_shard, [missing[key] for key in keys], job) for keys in shards]
            for keys, future in zip(shards, waiting, strict=True):
                _publish(keys, folder, root, future.result)
        return
    for keys in shards:
        _publish(keys, folder, root, lambda keys=keys: encode_shard([missing[key] for key in keys], job))  # type: ignore[misc]


def _publish(keys: list[str], folder: Path, root: Path, arrays: Callable[[], dict[str, NDArray[Any]]]) -> None:
    def fill(directory: Path) -> None:
        save_arrays(directory, {**arrays(), "keys": np.array(keys, dtype="S32")})

    publish(folder / f"shard-{content_key(keys)}", root, "embeddings", len(keys), fill)


def encode_shard(texts: list[str], job: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """The arrays of one shard: `pooled` (n, d) and, where wanted, `tokens` (Σ length, d) with `offsets` (n+1,)."""
    threads = torch.get_num_threads()
    on_cpu = torch.device(job["device"]).type == "cpu"
    if on_cpu:
        torch.set_num_threads(1)
    try:
        encoder = TextEncoder.load(job["name"], job["revision"]).to(job["device"])
        encoded = encoder.encode(
            texts,
            pooling=job["pooling"],
            max_length=job["max_length"],
            batch_size=1 if on_cpu else 64,
            want_tokens=job["want_tokens"],
        )
    finally:
        torch.set_num_threads(threads)
    arrays: dict[str, NDArray[Any]] = {"pooled": encoded.pooled.numpy()}
    if encoded.tokens is not None and encoded.token_mask is not None:
        lengths = encoded.token_mask.sum(1).numpy()
        arrays["tokens"] = encoded.tokens[encoded.token_mask].numpy()
        arrays["offsets"] = np.concatenate(([0], np.cumsum(lengths)))
    return arrays


def _gathered(
    places: list[tuple[Path, int] | None],
    want_tokens: bool,
    identity: str,
    choice: TextChoice,
    device: torch.device | str,
) -> Embeddings:
    shards = {place[0] for place in places if place}
    pooled = {shard: load_array(shard, "pooled") for shard in shards}
    width = next(iter(pooled.values())).shape[1] if pooled else TextEncoder.load(choice.encoder, choice.revision).width
    vectors = np.zeros((len(places), width), dtype=np.float32)
    for row, place in enumerate(places):
        if place:
            vectors[row] = pooled[place[0]][place[1]]
    present = torch.tensor([place is not None for place in places], device=device)
    on_device = torch.from_numpy(vectors).to(device)
    if not want_tokens:
        return Embeddings(on_device, present)
    tokens, mask = _tokens(places, width)
    return Embeddings(on_device, present, tokens.to(device), mask.to(device))


def _tokens(places: list[tuple[Path, int] | None], width: int) -> tuple[Tensor, Tensor]:
    """(C, L, d) and (C, L), padded to the longest text."""
    shards = {place[0] for place in places if place}
    flat = {shard: (load_array(shard, "tokens"), load_array(shard, "offsets")) for shard in shards}
    spans: list[tuple[Path | None, int, int]] = []
    for place in places:
        if place:
            offsets = flat[place[0]][1]
            spans.append((place[0], int(offsets[place[1]]), int(offsets[place[1] + 1])))
        else:
            spans.append((None, 0, 0))
    longest = max([end - start for _, start, end in spans] + [1])
    tokens = np.zeros((len(places), longest, width), dtype=np.float32)
    mask = np.zeros((len(places), longest), dtype=bool)
    for row, (shard, start, end) in enumerate(spans):
        if shard is not None:
            tokens[row, : end - start] = flat[shard][0][start:end]
            mask[row, : end - start] = True
    return torch.from_numpy(tokens), torch.from_numpy(mask)
