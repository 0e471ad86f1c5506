"""How the metrics of another program are read. Free of torch."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from runner.config.metric_names import named_mode

FORMATS = ("jsonl", "csv", "json")
NO_RESULT: JsonDict = {"identity": False}  # marks a field that cannot change a run's result


class Section(BaseModel):
    """One part of the parameters: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def misfit(key: str, what: str, allowed: str) -> PydanticCustomError:
    """A mistake at `key` of a section."""
    return PydanticCustomError("misfit", "{what}", {"key": (key,), "what": what, "allowed": allowed})


def inside(path: str) -> str:
    """`path` where it stays in the program's own folder; ValueError otherwise."""
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"found {path!r}; write a path inside the command's own folder, {{out}}")
    if not PurePosixPath(path).name or path.endswith("/") or not path.isprintable():
        raise ValueError(f"found {path!r}; write the name of a file, without control characters")
    return path


def _pattern(text: str) -> str:
    try:
        compiled = re.compile(text, re.MULTILINE)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    if not compiled.groupindex:
        raise ValueError("has no named group; write one for each metric, as (?P<val_mae>[0-9.]+)")
    return text


def _followed(name: str) -> str:
    if not name.startswith("val_"):
        raise ValueError(f"found {name!r}; the best epoch is chosen by a metric of the validation split (val_…)")
    return name


Inside = Annotated[str, AfterValidator(inside)]


class MetricsParams(Section):
    """Where the command's metrics are read: from a file in {out} or from what it prints."""

    file: Inside | None = None  # JSON lines, CSV or JSON
    format: Literal["jsonl", "csv", "json"] | None = None  # null: by the file's ending
    pattern: Annotated[str, AfterValidator(_pattern)] | None = None  # on the output; a named group is a metric
    names: dict[str, str | int] = {}  # our name → its column, key (a.b) or place in a list; empty: all numbers as named
    follow: Annotated[str, AfterValidator(_followed)] = "val_mae"  # says which epoch is the best
    mode: Literal["min", "max"] = "min"  # whether less of it is better, or more
    first_epoch: int = Field(1, ge=0)  # the number that the command gives its first epoch
    restarts: Literal["continue", "again"] = Field(
        "continue", json_schema_extra=NO_RESULT
    )  # a history without epochs that begins anew after a resume: numbered on, or from the first epoch again
    epochs: str | int | None = Field(None, json_schema_extra=NO_RESULT)  # how many are planned; shown by `status`

    @model_validator(mode="after")
    def _one_source(self) -> MetricsParams:
        if (self.file is None) == (self.pattern is None):
            raise misfit("file", "metrics come from a file or from a pattern, one of the two", "file or pattern")
        if self.file is not None and self.format is None and self.ending not in FORMATS:
            raise misfit("format", f"the ending of {self.file!r} does not say it", ", ".join(FORMATS))
        return self

    @model_validator(mode="after")
    def _follows_what_is_reported(self) -> MetricsParams:
        if self.known is not None and self.follow not in self.known:
            what = f"found {self.follow!r}, which is not among the metrics that are read"
            raise misfit("follow", what, ", ".join(sorted(self.known)))
        if self.mode == "min" and named_mode(self.follow) == "max":
            what = f"min of {self.follow}, which is better the larger it is: the worst epoch would be taken"
            raise misfit("mode", what, "max")
        return self

    @property
    def known(self) -> frozenset[str] | None:
        """All metrics that are read; None where the file says it."""
        if self.names or self.pattern is None:
            return frozenset(self.names) or None
        return frozenset(re.compile(self.pattern).groupindex)

    @property
    def ending(self) -> str:
        """The format of the file."""
        return self.format or (self.file or "").rpartition(".")[2]
