"""Every fusion by name: where its module lives and which options it takes. Free of torch.

A new fusion is one file in this folder and one line here.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import Field, create_model

from models import options as o

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Entry:
    """A fusion: its name, the class that computes it, the model that checks its options."""

    name: str
    target: str  # "module:Class" below models.fusion
    options: type[o.FusionOptions]

    def load(self) -> type[nn.Module]:
        """Import the class that computes this fusion (imports torch)."""
        module, _, cls = self.target.partition(":")
        loaded: type[nn.Module] = getattr(import_module(f"models.fusion.{module}"), cls)
        return loaded


def _entries(*rows: tuple[str, str, type[o.FusionOptions]]) -> dict[str, Entry]:
    def named(name: str, base: type[o.FusionOptions]) -> type[o.FusionOptions]:
        title = "".join(part.title() for part in name.split("_")) + base.__name__
        field: Any = (Literal[name], ...)
        return create_model(title, __base__=base, name=field)

    return {name: Entry(name, target, named(name, base)) for name, target, base in rows}


MIDDLE = _entries(
    ("none", "none:NoFusion", o.NoFusionOptions),
    ("middle", "middle:MiddleFusion", o.ScaledMiddleOptions),
    ("improved", "improved:ImprovedFusion", o.ImprovedMiddleOptions),
    ("dynamic", "dynamic:DynamicFusion", o.MiddleOptions),
    ("atom_attention", "atom_attention:AtomAttentionFusion", o.AttentionMiddleOptions),
)

LATE = _entries(
    ("none", "none:NoFusion", o.NoFusionOptions),
    ("concat", "concat:ConcatFusion", o.LateOptions),
    ("gated", "gated:GatedFusion", o.LateOptions),
    ("bilinear", "bilinear:BilinearFusion", o.RankLateOptions),
    ("tucker", "tucker:TuckerFusion", o.RankLateOptions),
    ("adaptive", "adaptive:AdaptiveFusion", o.OutputLateOptions),
    ("cross_attention", "cross_attention:CrossAttentionFusion", o.CrossAttentionLateOptions),
    ("gated_cross_attention", "gated_cross_attention:GatedCrossAttentionFusion", o.QualityGateLateOptions),
    ("simplified_gated", "simplified_gated:SimplifiedGatedFusion", o.GateLateOptions),
    ("balanced_gated", "balanced_gated:BalancedGatedFusion", o.QualityGateLateOptions),
)


def _union(entries: dict[str, Entry]) -> Any:
    return Annotated[Union[tuple(entry.options for entry in entries.values())], Field(discriminator="name")]  # noqa: UP007


MiddleFusionOptions = _union(MIDDLE)
LateFusionOptions = _union(LATE)
