"""How the metrics, fusion weights and predictions of another program are read. Free of torch."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic.config import JsonDict

from jobs.reading.presets import PRESETS
from jobs.section import Section, misfit
from runner.config.experiment import validation_metric
from runner.config.metric_names import named_mode

FORMATS = ("jsonl", "csv", "json")
NO_RESULT: JsonDict = {"identity": False}  # marks a field that cannot change a run's result


def inside(path: str) -> str:
    """`path` where it stays in the program's own folder; ValueError otherwise."""
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"found {path!r}; write a path inside the command's own folder, {{out}}")
    if not PurePosixPath(path).name or path.endswith("/") or not path.isprintable():
        raise ValueError(f"found {path!r}; write the name of a file, without control characters")
    return path


def regex(text: str) -> str:
    """`text` where it is a regular expression; ValueError otherwise."""
    try:
        re.compile(text, re.MULTILINE)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return text


def _pattern(text: str) -> str:
    if not re.compile(regex(text)).groupindex:
        raise ValueError("has no named group; write one for each metric, as (?P<val_mae>[0-9.]+)")
    return text


def _columns(text: str) -> str:
    if set(re.compile(regex(text)).groupindex) != {"layer", "quantity"}:
        raise ValueError(r"needs two named groups, as layer_(?P<layer>\d+)_(?P<quantity>w_graph|w_text)")
    return text


Inside = Annotated[str, AfterValidator(inside)]


class SourceParams(Section):
    """One place that is read: a file in {out}, several, or what the program prints."""

    file: Inside | None = None  # may be a pattern, as `**/metrics.csv`; for TensorBoard its folder
    from_: Literal["stdout"] | None = Field(None, alias="from")  # JSON lines among what the program prints
    format: Literal["jsonl", "csv", "json", "tensorboard"] | None = None  # null: by the file's ending
    rows: str | None = None  # dotted key of the rows in a JSON file, as log_history; null: the whole file
    pattern: Annotated[str, AfterValidator(_pattern)] | None = None  # on the file, a log, else on what is printed
    names: dict[str, str | int] = {}  # our name → its column, key (a.b) or place in a list, `val_*: eval_*`; empty: all
    first_epoch: int | None = Field(None, ge=0)  # the number of the first epoch; null: that of the section, else 1

    @model_validator(mode="after")
    def _readable(self) -> SourceParams:
        if not self.is_given:
            return self
        if self.from_ is not None and self.file is not None:
            raise misfit("from", "found a file too; metrics come from a file or from what is printed", "one of the two")
        if self.file is not None and self.pattern is None and self.format is None and self.file_format not in FORMATS:
            raise misfit("format", f"the ending of {self.file!r} does not say it", ", ".join((*FORMATS, "tensorboard")))
        return self

    @property
    def is_given(self) -> bool:
        """Whether it names a place at all."""
        return not self.file is self.from_ is self.pattern is None

    @property
    def file_format(self) -> str:
        """The format of the file."""
        return self.format or (self.file or "").rpartition(".")[2]

    @property
    def known(self) -> frozenset[str] | None:
        """All metrics that are read; None where only the file says it."""
        if self.names or self.pattern is None:
            return frozenset(self.names) if self.names and not any("*" in name for name in self.names) else None
        return frozenset(re.compile(self.pattern).groupindex)

    @property
    def place(self) -> str:
        """Where it is read, for messages."""
        return f"{{out}}/{self.file}" if self.file else "the output" + (", with the pattern" if self.pattern else "")


class FusionParams(SourceParams):
    """Where the weights of fused layers are read."""

    columns: Annotated[str, AfterValidator(_columns)] | None = (
        None  # names of columns or tags that hold a layer's value
    )
    layer: str = "layer"  # without `columns`: the column, or group of `pattern`, that names the layer
    first_layer: int = Field(1, ge=0)  # the number that the program gives its first layer
    normalise: Literal["auto", "always", "never"] = "auto"  # weights divided by their sum; auto: running means from 0

    @model_validator(mode="after")
    def _given(self) -> FusionParams:
        if not self.is_given:
            raise misfit("file", "missing; fusion weights are read from a file, a pattern or the output", "file: …")
        return self


class MetricsParams(SourceParams):
    """How the metrics of a program are read: from one source, or from several, merged by epoch."""

    preset: Literal["crysmmnet", "alignn", "lightning", "huggingface"] | None = None  # fills in what is not given
    sources: list[SourceParams] = []  # instead of one `file`, `pattern` or `from`; of a value in two the later counts
    follow: Annotated[str, AfterValidator(validation_metric)] = "val_mae"  # says which epoch is the best
    mode: Literal["min", "max"] = "min"  # whether less of it is better, or more
    restarts: Literal["continue", "again"] = "continue"  # a history without epochs that begins anew after a resume
    epochs: str | int | None = None  # how many are planned; shown by `status`
    fusion: FusionParams | None = None  # weights of fused layers

    @model_validator(mode="before")
    @classmethod
    def _filled_in(cls, content: Any) -> Any:
        """A place of one's own replaces all places of the preset."""
        if not isinstance(content, dict) or content.get("preset") not in PRESETS:
            return content
        preset = PRESETS[content["preset"]]
        own = any(content.get(key) is not None for key in ("file", "from", "pattern"))
        return {**{key: value for key, value in preset.items() if not (own and key == "sources")}, **content}

    @model_validator(mode="after")
    def _follows_what_is_reported(self) -> MetricsParams:
        if self.is_given == bool(self.sources):
            what = "metrics come from a file, a pattern or `from: stdout`, or from several `sources`"
            raise misfit("sources" if self.sources else "file", what, "one of them")
        for at, source in enumerate(self.sources):
            if not source.is_given:
                raise misfit("sources", f"entry {at + 1} names no place", "file, pattern or from: stdout in each")
        if self.sources and (self.names or self.rows or self.format):
            raise misfit(
                "names", "names, rows and format belong to each of the sources", "sources: [{file: …, names: …}]"
            )
        if self.known_metrics is not None and self.follow not in self.known_metrics:
            what = f"found {self.follow!r}, which is not among the metrics that are read"
            raise misfit("follow", what, ", ".join(sorted(self.known_metrics)))
        if self.mode == "min" and named_mode(self.follow) == "max":
            what = f"min of {self.follow}, which is better the larger it is: the worst epoch would be taken"
            raise misfit("mode", what, "max")
        return self

    @property
    def places(self) -> list[SourceParams]:
        """Every source of metrics; the section itself where it is the only one."""
        return list(self.sources) or [self]

    @property
    def known_metrics(self) -> frozenset[str] | None:
        """All metrics that are read; None where only a file says it."""
        known = [source.known for source in self.places]
        return None if None in known else frozenset().union(*(names for names in known if names))

    def first_epoch_of(self, source: SourceParams) -> int:
        """The number that the program gives its first epoch in `source`."""
        return next((number for number in (source.first_epoch, self.first_epoch) if number is not None), 1)


class PredictionsParams(Section):
    """Tables of predictions: CSV, JSON or JSON lines with an id, a target and a prediction a row."""

    val: Inside | None = None  # of the validation split, at the best epoch
    test: Inside | None = None  # of the test split
    names: dict[Literal["id", "target", "prediction"], str | int] = {}  # our name → its column
