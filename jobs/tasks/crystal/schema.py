"""The parameters of the crystal task. Free of torch."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from jobs.section import Section, misfit
from jobs.tasks.crystal.data.params import DataParams
from jobs.training.options import TrainingParams
from models.fusion.registry import LateFusionOptions, MiddleFusionOptions
from models.options import AlignnOptions, NoEncoder, as_fusions

PROMOTED = "promoted"  # as a warm start in the template of a next stage
RADIUS_CUTOFF = 5.0  # Å
WITHOUT_EFFECT = {"cutoff": 8.0, "max_neighbors": 12, "shell_width": 0.01}  # in the parameters of a graph without them


class GraphParams(Section):
    """How a crystal becomes a graph."""

    strategy: Literal["shell", "nearest", "undirected", "radius"] = "shell"  # shell: whole shells, so symmetry is kept
    cutoff: float | None = Field(None, gt=0, validate_default=True)  # Å, of `radius` (null: 5); others need none
    max_neighbors: int = Field(12, ge=1)  # of all but `radius`, which takes every neighbour within the cutoff
    shell_width: float = Field(
        0.01, ge=0, le=1, json_schema_extra={"neutral": 0.01}
    )  # Å, of `shell` and `undirected`: neighbours so little farther than the last one belong to its shell
    angle_cutoff: float | None = Field(None, gt=0)  # Å; bond pairs only of bonds shorter than it
    quotient: bool = True  # one atom, bond and pair of each symmetry class, weighted

    @field_validator("cutoff", "max_neighbors", "shell_width")
    @classmethod
    def _same_where_it_has_no_effect(cls, value: float | None, info: ValidationInfo) -> float:
        """A number, so that a later default changes no run; the same one where it cannot change the graph."""
        strategy, key = info.data.get("strategy"), str(info.field_name)
        strategies = {"cutoff": ("radius",), "max_neighbors": ("shell", "nearest", "undirected")}
        if strategy not in strategies.get(key, ("shell", "undirected")):
            return WITHOUT_EFFECT[key]
        return RADIUS_CUTOFF if value is None else value


class TextParams(Section):
    """What the text says and what reads it."""

    describe: str = "jarvis"  # jarvis, robocrys, or the name of a text column of the data set
    encoder: str = "minilm"  # minilm, a hub id, or a folder
    revision: str | None = None  # of a hub id
    pooling: Literal["cls", "mean"] = "mean"  # of the tokens into one vector
    max_length: int = Field(256, ge=8, le=8192)  # tokens


class ModelParams(Section):
    """Encoder, fusions, head."""

    encoder: Annotated[AlignnOptions | NoEncoder, Field(discriminator="name")] = AlignnOptions()  # of the graph
    middle_fusion: MiddleFusionOptions = Field(
        {"name": "none"}, validate_default=True
    )  # the text enters the encoder; or a list of fusions at different layers
    late_fusion: LateFusionOptions = Field(
        {"name": "none"}, validate_default=True
    )  # graph and text join before the head
    projection_dim: int = Field(64, ge=1)  # width of g and t
    dropout: float = Field(0.1, ge=0, lt=1)  # of the projection heads

    @model_validator(mode="after")
    def _parts_fit(self) -> ModelParams:
        last = max((layer for fusion in self.middle_fusions for layer in getattr(fusion, "layers", ())), default=0)
        if isinstance(self.encoder, NoEncoder):
            for part, fusion in (("middle_fusion", self.middle_fusions[0]), ("late_fusion", self.late_fusion)):
                if fusion.name != "none":
                    raise misfit(f"{part}.name", f"{part} needs a graph encoder; this model has none", "none")
        elif last > self.encoder.num_layers:
            key = "middle_fusion.layers" if len(self.middle_fusions) == 1 else "middle_fusion"
            raise misfit(key, f"there is no layer {last}; layers count from 1", self.encoder.layer_range)
        return self

    @property
    def middle_fusions(self) -> tuple[Any, ...]:
        """The middle fusions by their layers; a single `none` where the model has none."""
        return as_fusions(self.middle_fusion)

    @property
    def uses_graph(self) -> bool:
        return self.encoder.name != "none"

    @property
    def uses_text(self) -> bool:
        return not self.uses_graph or any(fusion.name != "none" for fusion in (*self.middle_fusions, self.late_fusion))

    @property
    def reads_tokens(self) -> bool:
        """Whether a fusion attends to the tokens of the texts."""
        return any(fusion.reads_tokens for fusion in (*self.middle_fusions, self.late_fusion))


def _as_checkpoint(value: Any) -> Any:
    return {"checkpoint": value} if isinstance(value, str) else value


class WarmStart(Section):
    """The weights that a model starts from; a path alone will do."""

    checkpoint: str = Field(json_schema_extra={"identity": False})  # best.pt or last.pt of a run; what is in it counts
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", validate_default=True)  # null: that of the file now

    @field_validator("sha256")
    @classmethod
    def _of_the_file(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None or "checkpoint" not in info.data:
            return value
        path = Path(info.data["checkpoint"])
        if info.data["checkpoint"] == PROMOTED:
            raise ValueError("the checkpoints of promoted variants are filled in by `runner promote`")
        if not os.path.isfile(path):
            raise ValueError(f"no checkpoint {str(path)!r}; write the path of a best.pt or last.pt")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class TrainParams(TrainingParams):
    """How the model is trained."""

    batch_size: int = Field(64, ge=1)  # crystals per step
    batches: Literal["random", "balanced"] = Field(
        "random", json_schema_extra={"neutral": "random"}
    )  # balanced: about equally many bond pairs in every batch, so that none needs much more memory than the others
    micro_batch: int | None = Field(None, ge=1)  # crystals in memory at once; gradients are accumulated
    loss: Literal["l1", "mse", "bce"] = "l1"  # bce: of the two classes that data.classify makes
    positive_weight: Literal["auto"] | Annotated[float, Field(gt=0)] | None = Field(
        None, json_schema_extra={"neutral": None}
    )  # of crystals above the threshold in the bce loss; auto: negatives per positive of the train split; null: 1
    contrastive_weight: float = Field(0.0, ge=0)  # of the symmetric InfoNCE loss between g and t
    temperature: float = Field(0.1, gt=0)  # of the InfoNCE loss
    modality_dropout: float = Field(0.0, ge=0, lt=1)  # share of training crystals whose text is replaced by a null text
    text_mask: float = Field(0.0, ge=0, le=1)  # share of training crystals without text, the same in every epoch
    precision: Literal["float32", "bf16"] = "float32"  # bf16: forward pass in bfloat16
    kernels: Literal["auto", "torch"] = Field(
        "auto", json_schema_extra={"neutral": "auto"}
    )  # auto: compiled convolutions on a CPU with a C++ compiler; torch: never (the same but for rounding)
    warm_start: Annotated[WarmStart | None, BeforeValidator(_as_checkpoint)] = Field(
        None, json_schema_extra={"neutral": None}
    )  # null: a fresh initialisation
    continue_finished: bool = Field(
        False, json_schema_extra={"identity": False}
    )  # go on from the run of this experiment that differs in having fewer epochs; the result is the same

    @model_validator(mode="after")
    def _continues_the_same_schedule(self) -> TrainParams:
        """More epochs must change nothing about those that there were."""
        stretched = self.schedule in ("onecycle", "warmup_stable_decay") or (
            self.schedule == "linear_warmup" and self.warmup_steps is None
        )
        if self.continue_finished and stretched:
            what = (
                f"the learning rates of {self.schedule} depend on the number of epochs, so a run cannot be lengthened"
            )
            fits = "schedule constant, or linear_warmup with warmup_steps; or a new cycle with train.warm_start"
            raise misfit("continue_finished", what, fits)
        return self


class CrystalParams(Section):
    """Everything a run of the crystal task is made from."""

    data: DataParams = DataParams()
    graph: GraphParams = GraphParams()
    text: TextParams = TextParams()
    model: ModelParams = ModelParams()
    train: TrainParams = TrainParams()

    @model_validator(mode="after")
    def _sections_fit(self) -> CrystalParams:
        if self.train.contrastive_weight and not self.model.uses_graph:
            raise misfit("train.contrastive_weight", "compares graph and text; this model has no graph", "0")
        if (self.train.loss == "bce") != (self.data.classify is not None):
            loss, wants = self.train.loss, "data.classify, which makes two classes of the target"
            what = f"{loss} needs {wants}" if loss == "bce" else f"{loss} does not fit the classes of data.classify"
            raise misfit("train.loss", what, "l1, mse" if loss == "bce" else "bce")
        if self.data.classify is not None and self.data.scale != "linear":
            raise misfit("data.scale", "classes have no logarithm; the threshold is in the target's unit", "linear")
        if self.data.classify is None and self.train.positive_weight is not None:
            raise misfit("train.positive_weight", "weighs one of the two classes of data.classify", "null")
        if self.train.micro_batch is not None and self.why_whole_batches:
            raise misfit("train.micro_batch", f"{self.why_whole_batches}, so it cannot be computed in parts", "null")
        if self.data.train is not None:
            self.check_warmups(-(-self.data.train // self.train.batch_size) * self.train.epochs)
        return self

    @property
    def why_whole_batches(self) -> str | None:
        """What would compute something else with a part of a batch; None where micro_batch changes nothing."""
        if self.train.contrastive_weight:
            return "the contrastive loss compares all crystals of a batch"
        batch_norm = isinstance(self.model.encoder, AlignnOptions) and self.model.encoder.norm == "batch"
        return "BatchNorm averages over a batch" if batch_norm else None

    @property
    def may_be_compiled(self) -> bool:
        """Whether compiled convolutions can compute this run on a CPU: ALIGNN 2.0 in float32, no dropout."""
        encoder, train = self.model.encoder, self.train
        if not isinstance(encoder, AlignnOptions) or encoder.dropout:
            return False
        return (encoder.norm, encoder.backend, train.precision, train.kernels) == ("layer", "torch", "float32", "auto")

    @property
    def reads_text(self) -> bool:
        """Whether the descriptions take part: in the model, or in the contrastive loss alone."""
        return self.model.uses_text or self.train.contrastive_weight > 0

    def check_warmups(self, steps: int) -> None:
        """Raise an error for a warm-up of more than half of the run's `steps`."""
        gate = getattr(self.model.late_fusion, "gate_warmup", 0)
        warmups = {"train.warmup_steps": self.train.warmup_steps, "model.late_fusion.gate_warmup": gate}
        for key, wanted in warmups.items():
            if (wanted or 0) > steps / 2:
                what = f"found {wanted}; more than half of the run's {steps} steps would be warm-up"
                raise misfit(key, what, f"0 to {steps // 2}")

    def without_effect(self) -> set[str]:
        """Sections that cannot change the result of this run; they take no part in its identity."""
        return ({"text"} if not self.reads_text else set()) | ({"graph"} if not self.model.uses_graph else set())
