"""The options of the sentiment model. Free of torch."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from models.options import Options

MODALITIES = ("text", "vision", "audio")  # in the order of the guidance weights


class SentimentModelOptions(Options):
    """Encoders, cross-modal transformers, guidance, head."""

    width: int = Field(64, ge=4)  # of every position and every vector
    num_heads: int = Field(4, ge=1)  # of every attention; divides the width
    encoder_layers: int = Field(1, ge=0, le=16)  # of self-attention over each sequence
    cross_layers: int = Field(1, ge=1, le=16)  # of attention from the text to the vision, and to the audio
    dropout: float = Field(0.1, ge=0, lt=1)  # in attention, blocks and head
    shared: bool = False  # one guided vector for all modalities, as first published

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} is not a multiple of num_heads {self.num_heads}")
        return self
