"""One property of a crystal from its graph, its description, or both.

The encoder turns the graph into atoms, middle fusions mix the text into the atoms after the layers they are chosen
for, the late fusion joins the two sides, a linear head reads the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from models.batch import GraphBatch, TextBatch
from models.encoders.alignn import Alignn
from models.encoders.projection import ProjectionHead
from models.encoders.segment import weighted_mean
from models.fusion.gate_warmup import GateWarmup
from models.fusion.interface import NO_TEXT, GraphSide, LateFusion, MiddleFusion, TextSide, Widths
from models.fusion.records import LATE_LAYER, Records
from models.fusion.registry import LATE, MIDDLE
from models.options import AlignnOptions, FusionOptions, MiddleOptions, NoEncoder, as_fusions


@dataclass(frozen=True)
class Output:
    """What the model says of B crystals."""

    prediction: Tensor  # (B,), or (B, outputs) where there are several
    graph_vector: Tensor | None  # (B, projection_dim) g; None unless a late fusion or the contrastive loss reads it
    text_vector: Tensor | None  # (B, projection_dim) t; None without text


class CrystalModel(nn.Module):
    """Graph only, text only, or any middle fusion with any late fusion.

    `null_text` stands in for the text of a crystal without one (`TextBatch.present` False), so a caller that wants
    modality dropout clears `present`. It has no gradient in a batch in which every crystal has its text.
    """

    def __init__(
        self,
        encoder: AlignnOptions | NoEncoder,
        middle: FusionOptions | Sequence[FusionOptions],
        late: FusionOptions,
        *,
        text_dim: int | None,
        projection_dim: int = 64,
        dropout: float = 0.1,
        outputs: int = 1,
        contrastive: bool = False,
    ) -> None:
        super().__init__()
        middles = as_fusions(middle)
        self.options = {"encoder": (encoder,), "middle fusion": middles, "late fusion": (late,)}
        self.contrastive = contrastive
        _check(encoder, middles, late, text_dim, contrastive)
        with_graph = isinstance(encoder, AlignnOptions)
        joins = _name(late) != "none"
        fusions = (*middles, late)
        reads_t = not with_graph or any(fusion.reads_vector for fusion in fusions) or contrastive
        self.reads_tokens = any(fusion.reads_tokens for fusion in fusions)  # batches must carry them then
        widths = Widths(encoder.hidden if isinstance(encoder, AlignnOptions) else 0, projection_dim, text_dim or 0)

        self.encoder = _make_encoder(encoder) if isinstance(encoder, AlignnOptions) else None
        self.text_head = ProjectionHead(widths.token, projection_dim, dropout) if reads_t else None
        self.null_text = nn.Parameter(torch.zeros(widths.token)) if reads_t or self.reads_tokens else None
        self.middle_fusions = nn.ModuleDict(
            {
                str(layer): MIDDLE[_name(chosen)].load()(chosen, widths)
                for chosen in middles
                for layer in _layers(chosen)
            }
        )
        needs_g = with_graph and (joins or contrastive)
        self.graph_head = ProjectionHead(widths.node, projection_dim, dropout) if needs_g else None
        self.late_fusion = LATE[_name(late)].load()(late, widths) if with_graph else None
        read = projection_dim if self.late_fusion is None else cast(int, self.late_fusion.output_dim)
        self.head = nn.Linear(read, outputs)

    def forward(
        self, graph: GraphBatch | None = None, text: TextBatch | None = None, *, records: Records | None = None
    ) -> Output:
        """A side that the model does not use may be None; ValueError for one that it uses."""
        text_side = self._text_side(text)
        if self.encoder is None or self.late_fusion is None:
            return Output(self._predict(text_side.t), None, text_side.t)
        graph_side = self._graph_side(graph, text_side, records)
        late = cast(LateFusion, self.late_fusion)
        joint = late(graph_side, text_side, None if records is None else records.layer(LATE_LAYER))
        g = None if self.graph_head is None else graph_side.g
        t = None if self.text_head is None else text_side.t
        return Output(self._predict(joint), g, t)

    def _predict(self, joint: Tensor) -> Tensor:
        prediction: Tensor = self.head(joint)
        return prediction.squeeze(1) if self.head.out_features == 1 else prediction

    def _text_side(self, text: TextBatch | None) -> TextSide:
        """Project the texts, with the null text where there is none."""
        if self.null_text is None:
            return NO_TEXT
        if text is None:
            raise ValueError("this model reads descriptions; the batch has none")
        null = self.null_text.to(text.vector.dtype)
        t, tokens, mask = NO_TEXT.t, NO_TEXT.tokens, NO_TEXT.token_mask
        present = text.present.unsqueeze(1)
        if self.text_head is not None:
            t = self.text_head(torch.where(present, text.vector, null))
        if self.reads_tokens:
            if text.tokens is None or text.token_mask is None:
                raise ValueError("this model attends to the tokens of the descriptions; the batch has vectors only")
            tokens = torch.where(present.unsqueeze(2), text.tokens, null)
            first = torch.arange(tokens.shape[1], device=tokens.device) == 0  # the null text is a single token
            mask = torch.where(present, text.token_mask, first)
        return TextSide(t, tokens, mask)

    def _graph_side(self, graph: GraphBatch | None, text: TextSide, records: Records | None) -> GraphSide:
        """Encode the graphs, with the text mixed in after the fused layers."""
        if graph is None:
            raise ValueError("this model reads crystal graphs; the batch has none")

        def fuse(layer: int, h: Tensor) -> Tensor:
            name = str(layer)
            if name not in self.middle_fusions:
                return h
            fusion = cast(MiddleFusion, self.middle_fusions[name])
            return fusion(h, text, graph, None if records is None else records.layer(name))

        assert self.encoder is not None
        atoms = self.encoder(graph, fuse)
        pooled = weighted_mean(atoms, graph.atom_weight, graph.crystal, graph.crystal_offsets)
        g = pooled.new_empty(0) if self.graph_head is None else self.graph_head(pooled)
        return GraphSide(atoms, pooled, g, graph)

    def begin_step(self) -> None:
        """To be called before each optimiser step: counts the steps that `gate_warmup` needs."""
        for module in self.modules():
            if isinstance(module, GateWarmup):
                module.begin_step()

    def describe(self) -> list[str]:
        """What is trained, one line per part: its options and its number of parameters."""
        modules = {"encoder": self.encoder, "middle fusion": self.middle_fusions, "late fusion": self.late_fusion}
        chosen = {part: " and ".join(map(_spelled, options)) for part, options in self.options.items()}
        lines = [_line(part, chosen[part], module) for part, module in modules.items()]
        for part, head in (("text projection", self.text_head), ("graph projection", self.graph_head)):
            if head is not None:
                lines.append(_line(part, f"{head.first.in_features} to {head.first.out_features}", head))
        return [*lines, f"in all {_count(self):,} trainable parameters"]


def _make_encoder(options: AlignnOptions) -> Alignn:
    if options.backend == "torch":
        return Alignn(options)
    try:
        from models.encoders.dgl_backend import DglAlignn  # dgl is imported only when it is asked for
    except ImportError as error:
        raise ValueError(
            f"encoder.backend dgl needs the package dgl 1.1.3, which exists for Linux on x86-64 and Python 3.11 "
            f"({error}); backend torch computes the same everywhere"
        ) from error
    return DglAlignn(options)


def _check(
    encoder: AlignnOptions | NoEncoder,
    middles: Sequence[FusionOptions],
    late: FusionOptions,
    text_dim: int | None,
    contrastive: bool,
) -> None:
    """Raise ValueError for parts that do not fit together."""
    parts = [*(("middle", middle) for middle in middles), ("late", late)]
    fused = [part for part, options in parts if _name(options) != "none"]
    last = max((layer for middle in middles for layer in _layers(middle)), default=0)
    if isinstance(encoder, NoEncoder):
        if fused or contrastive:
            raise ValueError(f"a text-only model has no graph to join: {' and '.join(fused) or 'contrastive loss'}")
    elif last > encoder.num_layers:
        raise ValueError(f"middle fusion after layer {last}: the encoder has layers {encoder.layer_range}")
    if text_dim is None and (fused or contrastive or isinstance(encoder, NoEncoder)):
        raise ValueError("a model that reads text needs text_dim, the width of the text encoder's vectors")


def _name(options: FusionOptions) -> str:
    """The registry gives every fusion's options a `name`."""
    return cast(str, options.name)  # type: ignore[attr-defined]


def _layers(options: FusionOptions) -> tuple[int, ...]:
    return options.layers if isinstance(options, MiddleOptions) else ()


def _spelled(options: BaseModel) -> str:
    """`dynamic, layers 2 and 3, hidden_dim 128, …`"""
    values = options.model_dump(exclude_none=True)
    return ", ".join([str(values.pop("name")), *(f"{key} {_value(value)}" for key, value in values.items())])


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple | list):
        return " and ".join(str(item) for item in value)
    return str(value)


def _line(part: str, chosen: str, module: nn.Module | None) -> str:
    count = 0 if module is None else _count(module)
    return f"{part}: {chosen}" + (f"; {count:,} parameters" if count else "")


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
