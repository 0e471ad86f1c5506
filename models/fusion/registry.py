"""Every fusion by name: where its module lives, which options it takes, its formula in short. Free of torch.

A new fusion is one file in this folder and one line here; schema, docs and the tests of every fusion read this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, create_model

from models import options as o

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Entry:
    """A fusion: its name, the model that checks its options, its formula.

    `some_name` is computed by the class `SomeNameFusion` in the module `some_name` of this folder.
    """

    name: str
    options: type[o.FusionOptions]
    formula: str  # for the docs and for help in editors

    def load(self) -> type[nn.Module]:
        """Import the class that computes this fusion (imports torch)."""
        return getattr(import_module(f"models.fusion.{self.name}"), f"{_title(self.name)}Fusion")  # type: ignore[no-any-return]


def _title(name: str) -> str:
    return "".join(part.title() for part in name.split("_"))


def _entries(*rows: tuple[str, type[o.FusionOptions], str]) -> dict[str, Entry]:
    def named(name: str, base: type[o.FusionOptions], formula: str) -> type[o.FusionOptions]:
        field: Any = (Literal[name], ...)
        return create_model(_title(name) + base.__name__, __base__=base, __doc__=f"`{name}`: {formula}.", name=field)

    return {row[0]: Entry(row[0], named(*row), row[2]) for row in rows}


MIDDLE = _entries(
    ("none", o.NoFusionOptions, "the text is not read here"),
    ("middle", o.ScaledMiddleOptions, "a = σ(W[h; ũ]), ũ = text_scale·u; Dropout(LN(h + a⊙ũ))"),
    ("improved", o.ImprovedMiddleOptions, "a' = a·(1 + β·σ(MLP(h))); Dropout(LN(node_scale·h + a'⊙ũ))"),
    (
        "dynamic",
        o.MiddleOptions,
        "(w_graph, w_text) = softmax(W₂·tanh(W₁[h; u])); LN(h + Dropout(w_graph·h + w_text·u))",
    ),
    ("film", o.MiddleOptions, "LN(γ(t)⊙h + β(t)), γ = 1 + W₂·SiLU(W₁·t)"),
    ("atom_attention", o.AttentionMiddleOptions, "LN(h + what each atom reads from the tokens)"),
)

LATE = _entries(
    ("none", o.NoFusionOptions, "the mean over the atoms; the text is not read here"),
    ("concat", o.LateOptions, "SiLU(W[g; t])"),
    ("gated", o.ProjectedLateOptions, "w_g·g + w_t·t, two sigmoids of [g; t] normalised to sum to 1"),
    ("bilinear", o.RankLateOptions, "Σ_rank (U g)⊙(V t)"),
    ("tucker", o.RankLateOptions, "LN(W·vec(U g ⊗ V t))"),
    ("adaptive", o.OutputLateOptions, "W(w₁(g + t) + w₂(g⊙t) + w₃(a⊙g + (1 − a)⊙t)), w a softmax, a a gate a channel"),
    ("cross_attention", o.CrossAttentionLateOptions, "[g'; t'], atoms and tokens having read each other"),
    ("gated_cross_attention", o.QualityGateLateOptions, "Dropout(LN((1 − e)g' + e·t' + g)), e = q·f"),
    ("simplified_gated", o.GateLateOptions, "Dropout(LN(g' + w·t' + g)), w = σ(MLP[g; t])"),
    ("balanced_gated", o.QualityGateLateOptions, "Dropout(LN((1 − e)g + e·g' + e·t + (1 − e)t')), e = 0.5 + 0.5·q·f"),
)


def _union(entries: dict[str, Entry]) -> Any:
    return Annotated[Union[tuple(entry.options for entry in entries.values())], Field(discriminator="name")]  # noqa: UP007


def _only(value: Any) -> Any:
    """A list of one fusion is that fusion."""
    return value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value


def _ordered(value: Any) -> Any:
    """Several fusions by their layers, whatever the order in which they are given."""
    if not isinstance(value, tuple):
        return value
    if not value or not all(isinstance(fusion, o.MiddleOptions) for fusion in value):
        raise ValueError("a list of fusions holds no `none`, and is not empty; `{name: none}` alone is no fusion")
    layers = [layer for fusion in value for layer in fusion.layers]
    if twice := sorted({layer for layer in layers if layers.count(layer) > 1}):
        raise ValueError(f"two fusions after layer {twice[0]}; each layer has one at most")
    return tuple(sorted(value, key=lambda fusion: fusion.layers))


def _one_or_several(fusion: Any) -> Any:
    kinds = (Annotated[fusion, Tag("[one]")], Annotated[tuple[fusion, ...], Tag("[list]")])
    which = Discriminator(lambda value: "[list]" if isinstance(value, (list, tuple)) else "[one]")
    return Annotated[Union[kinds], which, BeforeValidator(_only), AfterValidator(_ordered)]  # noqa: UP007


MiddleFusionOptions = _one_or_several(_union(MIDDLE))
LateFusionOptions = _union(LATE)
