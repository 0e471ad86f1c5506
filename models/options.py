"""The options of every part of the model. Free of torch, so that a configuration is checked without loading it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Checked = TypeVar("Checked")


class Options(BaseModel):
    """Frozen options that refuse unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AlignnOptions(Options):
    """The graph encoder: ALIGNN (Choudhary & DeCost, npj Comput. Mater. 7, 185, 2021)."""

    name: Literal["alignn"] = "alignn"
    alignn_layers: int = Field(4, ge=1, le=16)  # each: a convolution on the crystal graph, then one on the line graph
    gcn_layers: int = Field(4, ge=0, le=16)  # convolutions on the crystal graph alone
    embedding: int = Field(64, ge=4)  # width of the first layer of the edge and angle embeddings
    hidden: int = Field(256, ge=4)  # width of atom, bond and bond-pair features
    norm: Literal["layer", "batch"] = "layer"  # layer: ALIGNN 2.0; batch: 2021
    dropout: float = Field(
        0.0, ge=0, lt=1, json_schema_extra={"neutral": 0.0}
    )  # of what each convolution adds to its nodes and edges
    backend: Literal["torch", "dgl"] = "torch"  # dgl: DGL 1.1.3 kernels, for comparison

    @property
    def num_layers(self) -> int:
        """Layers after which a middle fusion can stand."""
        return self.alignn_layers + self.gcn_layers

    @property
    def layer_range(self) -> str:
        """Their numbers in words."""
        gcn = f", then to {self.num_layers} (gcn_layers)" if self.gcn_layers else ""
        return f"1 to {self.alignn_layers} (model.encoder.alignn_layers){gcn}"


class NoEncoder(Options):
    """No graph: a text-only model."""

    name: Literal["none"] = "none"


class FusionOptions(Options):
    """Base of the options of every fusion; the registry adds the `name`."""

    @property
    def reads_vector(self) -> bool:
        """Whether the fusion reads t, the projected vector of the whole text."""
        return True

    @property
    def reads_tokens(self) -> bool:
        """Whether the fusion reads the tokens of the text, so that batches must carry them."""
        return False


def as_fusions(middle: FusionOptions | Sequence[FusionOptions]) -> tuple[FusionOptions, ...]:
    """One middle fusion, or several at different layers."""
    return (middle,) if isinstance(middle, FusionOptions) else tuple(middle)


class NoFusionOptions(FusionOptions):
    """`none`: reads no text."""

    @property
    def reads_vector(self) -> bool:
        return False


class MiddleOptions(FusionOptions):
    """Common to all middle fusions."""

    layers: tuple[int, ...] = Field((2,), min_length=1)  # after these, counted from 1: ALIGNN layers, then GCN layers
    hidden_dim: int = Field(128, ge=1)  # width between the two linear maps of the text
    dropout: float = Field(0.1, ge=0, lt=1)  # share of what is set to zero in training

    @field_validator("layers")
    @classmethod
    def _sorted_and_distinct(cls, layers: tuple[int, ...]) -> tuple[int, ...]:
        if min(layers) < 1:
            raise ValueError(f"layers count from 1; found {min(layers)}")
        if len(set(layers)) < len(layers):
            raise ValueError(f"a layer is named twice in {list(layers)}")
        return tuple(sorted(layers))


class ScaledMiddleOptions(MiddleOptions):
    """`middle`: the text is scaled, then gated."""

    initial_scale: float = Field(1.0, gt=0)  # start of text_scale
    learnable_scale: bool = False  # otherwise text_scale stays at initial_scale
    gate_norm: bool = False  # LayerNorm of each half before the gate


class ImprovedMiddleOptions(ScaledMiddleOptions):
    """`improved`: `middle` with a scaled residual and an importance per atom."""

    residual_scaling: bool = True  # learnable node_scale before the LayerNorm
    initial_node_scale: float = Field(1.0, gt=0)  # start of node_scale
    dynamic_gating: bool = True  # multiply the gate by 1 + β·importance(h)


class AttentionMiddleOptions(MiddleOptions):
    """`atom_attention`: each atom queries the tokens of the description; there is no vector u to give a hidden_dim."""

    hidden_dim: int = Field(256, ge=1)  # width of the attention, over all heads
    num_heads: int = Field(4, ge=1)  # of the attention; they share hidden_dim

    @property
    def reads_vector(self) -> bool:
        return False

    @property
    def reads_tokens(self) -> bool:
        return True

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        return _check_heads(self, self.hidden_dim, self.num_heads)


class LateOptions(FusionOptions):
    """Common to all late fusions."""

    dropout: float = Field(0.1, ge=0, lt=1)  # share of what is set to zero in training


class ProjectedLateOptions(LateOptions):
    """`gated`: the joint vector is as wide as g and t, or passes a linear map."""

    output_dim: int | None = Field(None, ge=1, json_schema_extra={"neutral": None})  # null: that of g and t


class OutputLateOptions(LateOptions):
    """`bilinear`, `tucker`, `adaptive`: with a width of the joint vector."""

    output_dim: int = Field(64, ge=1)  # width of the joint vector


class RankLateOptions(OutputLateOptions):
    """`bilinear`: terms of the sum; `tucker`: width of each factor of the outer product."""

    rank: int = Field(16, ge=1)  # terms of the sum, or width of each factor


class CrossAttentionLateOptions(LateOptions):
    """`cross_attention` and the gated forms built on it."""

    num_heads: int = Field(4, ge=1)  # of the attention; they share hidden_dim
    hidden_dim: int = Field(256, ge=1)  # width of the attention, over all heads
    tokens: Literal["all", "pooled"] = "all"  # pooled: one vector on each side, value and output projections only

    @property
    def reads_tokens(self) -> bool:
        return self.tokens == "all"

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        return _check_heads(self, self.hidden_dim, self.num_heads)


class GateLateOptions(CrossAttentionLateOptions):
    """`simplified_gated`, and common to the gated forms."""

    gate_warmup: int = Field(0, ge=0)  # steps over which the gate rises from 0 to its value; 0: none


class QualityGateLateOptions(GateLateOptions):
    """`gated_cross_attention` and `balanced_gated`, whose gate has a factor q for the quality of the text."""

    text_quality: bool = False  # q: learnable mixture of a network and the length of t, instead of their product


def _check_heads(options: Checked, width: int, heads: int) -> Checked:
    if width % heads:
        raise ValueError(f"hidden_dim {width} is not a multiple of num_heads {heads}")
    return options
