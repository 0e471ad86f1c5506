"""A teacher: sentiment from one modality alone. Its pooled features are what the student is drawn to."""

from __future__ import annotations

from torch import Tensor, nn

from models.sentiment.attention import SequenceEncoder
from models.sentiment.options import SentimentModelOptions
from models.sentiment.sequences import Sequences, masked_mean


class Teacher(nn.Module):
    """Encoder, mean over the positions, linear head."""

    def __init__(self, options: SentimentModelOptions, features: int) -> None:
        super().__init__()
        self.encoder = SequenceEncoder(features, options)
        self.norm = nn.LayerNorm(options.width)
        self.head = nn.Linear(options.width, 1)

    def features(self, sequences: Sequences) -> Tensor:
        """(B, w); what is distilled."""
        return self.norm(masked_mean(self.encoder(sequences), sequences.mask))  # type: ignore[no-any-return]

    def forward(self, sequences: Sequences) -> Tensor:
        """(B,) sentiment."""
        return self.head(self.features(sequences)).squeeze(1)  # type: ignore[no-any-return]
