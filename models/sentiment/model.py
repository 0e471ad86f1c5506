"""Sentiment from text, vision and audio: the text asks the others, and a guidance module weighs the three."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.sentiment.attention import CrossModal, SequenceEncoder
from models.sentiment.options import MODALITIES, SentimentModelOptions
from models.sentiment.sequences import Utterances, masked_mean


@dataclass(frozen=True)
class Guided:
    """What the model says of B utterances."""

    prediction: Tensor  # (B,) sentiment
    guidance: Tensor  # (B, 3) ω; rows sum to 1; in the order of MODALITIES
    vectors: dict[str, Tensor]  # modality → (B, w) guided vector; with `shared` one for all


class SentimentModel(nn.Module):
    """Encoders, two cross-modal transformers, guidance, head.

    With t, v, a of unit variance: ω = softmax(MLP [t; v; a]), and the prediction is a head on Σ ω_m·m. The guided
    vectors, which the losses of distillation and contrast see, are ω_m·m of each modality, or with `shared` that sum.
    features: modality → width of its features. teachers: modality → width of its teacher's features, where the
    distillation loss is used.
    """

    def __init__(
        self, options: SentimentModelOptions, features: Mapping[str, int], teachers: Mapping[str, int] | None = None
    ) -> None:
        super().__init__()
        width = options.width
        self.shared = options.shared
        self.encoders = nn.ModuleDict({name: SequenceEncoder(features[name], options) for name in MODALITIES})
        self.cross = nn.ModuleDict({name: CrossModal(options) for name in ("vision", "audio")})
        self.guide = nn.Sequential(nn.Linear(3 * width, width), nn.GELU(), nn.Linear(width, len(MODALITIES)))
        for parameter in self.guide[-1].parameters():
            nn.init.zeros_(parameter)  # no modality is preferred before anything was learnt
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Dropout(options.dropout), nn.Linear(width, 1))
        # A teacher is compared with a linear image of the student: drawn to the teacher itself, vision and audio become
        # so much larger signals than the text that the guidance gives them weight which the data do not. The published
        # form has no such image.
        self.to_teacher = nn.ModuleDict(
            {
                name: nn.Linear(width, size)
                for name, size in (teachers or {}).items()
                if size != width or not self.shared
            }
        )

    def forward(self, utterances: Utterances) -> Guided:
        encoded = {name: self.encoders[name](getattr(utterances, name)) for name in MODALITIES}
        text_mask = utterances.text.mask
        pooled = {"text": masked_mean(encoded["text"], text_mask)}
        for name, transformer in self.cross.items():
            reading = transformer(encoded["text"], encoded[name], getattr(utterances, name).mask)
            pooled[name] = masked_mean(reading, text_mask)
        vectors = [F.layer_norm(pooled[name], pooled[name].shape[1:]) for name in MODALITIES]
        guidance = torch.softmax(self.guide(torch.cat(vectors, dim=1)), dim=1)
        guided = [vector * guidance[:, [place]] for place, vector in enumerate(vectors)]
        together = guided[0] + guided[1] + guided[2]
        if self.shared:
            guided = [together] * len(MODALITIES)
        prediction = self.head(together).squeeze(1)
        return Guided(prediction, guidance, dict(zip(MODALITIES, guided, strict=True)))

    def as_teacher(self, modality: str, vector: Tensor) -> Tensor:
        """What of a guided vector (B, w) is compared with the features of the teacher (B, d)."""
        return self.to_teacher[modality](vector) if modality in self.to_teacher else vector
