"""The parameters of the sentiment task. Free of torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from jobs.section import Section
from jobs.training.options import TrainingParams
from models.sentiment.options import SentimentModelOptions

GENERATED = "generated"
GUIDANCE = "guidance"  # the name under which the weights of modalities stand in diagnostics.jsonl and result.json


class Importance(Section):
    """How much of the sentiment's variance each modality carries; scaled to a sum of 1."""

    text: float = Field(0.6, ge=0)  # share of what is said
    vision: float = Field(0.3, ge=0)  # share of what is seen
    audio: float = Field(0.1, ge=0)  # share of what is heard


class Planted(Section):
    """A generated data set: the sentiment is the weighted sum of one hidden number per modality."""

    train: int = Field(600, ge=2)  # utterances of the train split
    valid: int = Field(200, ge=2)  # of the validation split
    test: int = Field(200, ge=2)  # of the test split
    importance: Importance = Importance()  # of each modality
    length: int = Field(20, ge=1)  # positions of the text, and of all where aligned
    aligned: bool = False  # false: vision and audio are 1.5 and 2 times longer, each utterance of its own length
    text_width: int = Field(768, ge=2)  # features per position of the text
    vision_width: int = Field(35, ge=2)  # of vision
    audio_width: int = Field(74, ge=2)  # of audio
    noise: float = Field(1.0, ge=0)  # sd of each feature around its signal
    seed: int = Field(0, ge=0)  # of everything that is drawn


class DataParams(Section):
    """Which utterances."""

    dataset: str = GENERATED  # generated, or the path of an .npz in the MMSA layout
    train: int | None = Field(None, ge=2)  # utterances; null: all
    val: int | None = Field(None, ge=2)  # the same of validation
    test: int | None = Field(None, ge=2)  # and of test
    seed: int = Field(0, ge=0)  # chooses the subset; subsets are nested
    standardise: bool = True  # vision and audio features to mean 0 and sd 1 over the train split


class TrainedTeachers(Section):
    """Teachers of vision and audio that are trained once on the train split, kept in the cache, shared by all runs."""

    name: Literal["trained"] = "trained"
    width: int = Field(64, ge=4)  # of their features
    encoder_layers: int = Field(1, ge=0, le=16)  # of self-attention
    epochs: int = Field(20, ge=1)  # the best by validation MSE is kept
    batch_size: int = Field(32, ge=2)  # utterances
    learning_rate: float = Field(1e-3, gt=0)  # constant
    seed: int = Field(0, ge=0)  # initialisation, order, dropout


class FeatureFile(Section):
    """Features of teachers of your own."""

    name: Literal["file"]
    path: str  # .npz with ids (n,), vision (n, d), audio (n, d); every utterance of the train split once


class LossParams(Section):
    """L = MSE + δ_va·(L_v + L_a) + δ_nce·L_nce."""

    delta_va: float = Field(0.3, ge=0)  # of the distillation from the vision and audio teachers
    delta_nce: float = Field(0.001, ge=0)  # of the contrast vision→text and audio→text
    distance: Literal["cosine", "kl"] = "cosine"  # to the teachers; kl: over softmaxed features, as first published
    temperature: float = Field(0.1, gt=0)  # τ of the contrast


class TrainParams(TrainingParams):
    """How the model is trained."""

    batch_size: int = Field(32, ge=2)  # utterances; InfoNCE contrasts within a batch
    weight_decay: float = Field(1e-3, ge=0)  # not applied to biases and norms
    gradient_clip: float | None = Field(1.0, gt=0)  # norm above which gradients are shortened; null: none


class SentimentParams(Section):
    """Everything a run of the sentiment task is made from."""

    data: DataParams = DataParams()  # which utterances
    planted: Planted = Planted()  # what is generated, where data.dataset is `generated`
    model: SentimentModelOptions = SentimentModelOptions()  # encoders, cross-modal transformers, guidance
    teachers: Annotated[TrainedTeachers | FeatureFile, Field(discriminator="name")] = TrainedTeachers()  # distilled
    loss: LossParams = LossParams()  # weights of the parts of the loss
    train: TrainParams = TrainParams()  # how it is trained

    def without_effect(self) -> set[str]:
        """Sections that cannot change the result of this run; they take no part in its identity."""
        unused = set() if self.loss.delta_va else {"teachers"}
        return unused if self.data.dataset == GENERATED else unused | {"planted"}
