"""The parameters of the command task. Free of torch."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from runner.config.experiment import Seconds
from runner.config.metric_names import named_mode
from runner.rundir.failures import CommandKind

_NO_RESULT: JsonDict = {"identity": False}  # marks a field that cannot change a run's result


class Section(BaseModel):
    """One part of the parameters: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _misfit(key: str, what: str, allowed: str) -> PydanticCustomError:
    return PydanticCustomError("misfit", "{what}", {"key": (key,), "what": what, "allowed": allowed})


def _pattern(text: str) -> str:
    try:
        compiled = re.compile(text, re.MULTILINE)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    if not compiled.groupindex:
        raise ValueError("has no named group; write one for each metric, as (?P<val_mae>[0-9.]+)")
    return text


def _inside(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"found {path!r}; write a path inside the command's own folder, {{out}}")
    if not PurePosixPath(path).name or path.endswith("/") or not path.isprintable():
        raise ValueError(f"found {path!r}; write the name of a file, without control characters")
    return path


def _followed(name: str) -> str:
    if not name.startswith("val_"):
        raise ValueError(f"found {name!r}; the best epoch is chosen by a metric of the validation split (val_…)")
    return name


Inside = Annotated[str, AfterValidator(_inside)]


class MetricsParams(Section):
    """Where the command's metrics are read: one record an epoch, from a file in {out} or from what it prints."""

    file: Inside | None = None  # JSON lines, CSV or JSON
    format: Literal["jsonl", "csv", "json"] | None = None  # null: by the file's ending
    pattern: Annotated[str, AfterValidator(_pattern)] | None = None  # on the output; a named group is a metric
    names: dict[str, str | int] = {}  # our name → its column, key (a.b) or place in a list; empty: all numbers as named
    follow: Annotated[str, AfterValidator(_followed)] = "val_mae"  # says which epoch is the best
    mode: Literal["min", "max"] = "min"  # whether less of it is better, or more
    first_epoch: int = Field(1, ge=0)  # the number that the command gives its first epoch
    epochs: str | int | None = Field(None, json_schema_extra=_NO_RESULT)  # how many are planned; shown by `status`

    @model_validator(mode="after")
    def _one_source(self) -> MetricsParams:
        if (self.file is None) == (self.pattern is None):
            raise _misfit("file", "metrics come from a file or from a pattern, one of the two", "file or pattern")
        if self.file is not None and self.format is None and self.ending not in ("jsonl", "csv", "json"):
            raise _misfit("format", f"the ending of {self.file!r} does not say it", "jsonl, csv, json")
        return self

    @model_validator(mode="after")
    def _follows_what_is_reported(self) -> MetricsParams:
        if self.known is not None and self.follow not in self.known:
            what = f"found {self.follow!r}, which is not among the metrics that are read"
            raise _misfit("follow", what, ", ".join(sorted(self.known)))
        if self.mode == "min" and named_mode(self.follow) == "max":
            what = f"min of {self.follow}, which is better the larger it is: the worst epoch would be taken"
            raise _misfit("mode", what, "max")
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


class CommandSection(Section):
    """The program and how it is treated. `{name}` is a value of `values`, or one of ours such as {out}."""

    run: str | list[str] = Field(min_length=1)  # a list is passed as it is; text is split at blanks, without a shell
    resume: str | list[str] | None = None  # instead of `run` where `checkpoint` exists; null: begin again
    checkpoint: Inside | None = None  # file in {out} that a resumed command needs
    shell: bool = False  # true: `run` and `resume` are text for bash; values are quoted
    directory: str = "{here}"  # where it is started; {here}: where `runner submit` was
    environment: dict[str, str] = {}  # variables beside those that the run has
    files: dict[Inside, Any] = {}  # written into {out} before it starts: text, or JSON where it is no text
    metrics: MetricsParams
    exit_codes: dict[CommandKind, int | list[int]] = {}  # kind of failure → exit status; any other is `exception`
    stop_signal: Literal["TERM", "INT", "USR1", "USR2"] = Field(
        "TERM", json_schema_extra=_NO_RESULT
    )  # what the command gets when the run has to stop
    silent_for: Seconds | None = Field(None, json_schema_extra=_NO_RESULT)  # s without a word: it hangs and is killed

    @model_validator(mode="after")
    def _parts_fit(self) -> CommandSection:
        if (self.resume is None) != (self.checkpoint is None):
            missing = "checkpoint" if self.checkpoint is None else "resume"
            raise _misfit(missing, "missing; `resume` and `checkpoint` go together", "both or none")
        for key in ("run", "resume"):
            if self.shell and isinstance(getattr(self, key), list):
                raise _misfit(key, "found a list; a shell takes one text", "text, or shell: false")
        return self


class CommandParams(Section):
    """Everything a run of the command task is made from."""

    command: CommandSection
    values: dict[str, Any] = {}  # what the templates name; axes are values.NAME, the seed is values.seed
