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
    ("none", "none:NoFusion", o.FusionOptions),
    ("middle", "middle:MiddleFusion", o.ScaledMiddleOptions),
    ("dynamic", "dynamic:DynamicFusion", o.MiddleOptions),
)

LATE = _entries(
    ("none", "none:NoFusion", o.FusionOptions),
    ("concat", "concat:ConcatFusion", o.LateOptions),
)


def _union(entries: dict[str, Entry]) -> Any:
    return Annotated[Union[tuple(entry.options for entry in entries.values())], Field(discriminator="name")]  # noqa: UP007


MiddleFusionOptions = _union(MIDDLE)
LateFusionOptions = _union(LATE)
