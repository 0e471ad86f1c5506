"""What the parameters of the tasks have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """One part of the parameters: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def misfit(key: str, what: str, allowed: str) -> PydanticCustomError:
    """The error of parts that do not fit each other, raised at the dotted `key` below the model that found it."""
    return PydanticCustomError("misfit", "{what}", {"key": tuple(key.split(".")), "what": what, "allowed": allowed})
