"""Frozen text encoders: descriptions in, pooled vectors and token embeddings out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from models.encoders.text_folder import fetch, folder_of, locate


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

        if download and folder_of(name) is None:
            fetch(name, revision)
        folder, identity = locate(name, revision)
        # a folder may name Python files of its own, and weights may be a pickle: neither is run
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = AutoModel.from_pretrained(folder, local_files_only=True, trust_remote_code=False, weights_only=True)
        return cls(tokenizer, model, identity)

    @property
    def width(self) -> int:
        return int(self._model.config.hidden_size)

    @property
    def longest(self) -> int:
        """The most tokens of a text that it can read."""
        limits = (self._tokenizer.model_max_length, getattr(self._model.config, "max_position_embeddings", None))
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
        return self._model(**batch).last_hidden_state.float(), batch["attention_mask"].bool()


def _pool(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """cls: the first token; mean: over all tokens, special ones included."""
    if pooling == "cls":
        return states[:, 0]
    weight = mask.unsqueeze(2).to(states.dtype)
    return (states * weight).sum(1) / weight.sum(1)
