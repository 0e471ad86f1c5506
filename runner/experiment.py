"""The experiment file: its keys, their types and defaults."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from runner import quantities, yaml_source
from runner.errors import ConfigError, Problem
from runner.validation import problems
from runner.yaml_source import Key, Source

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def checked_name(name: str) -> str:
    """`name` if it is safe as the name of a directory and in a shell; ValueError otherwise."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot name a directory; use letters, digits, '.', '_' and '-', starting with a letter or digit "
            "(at most 100 characters)"
        )
    return name


class Part(BaseModel):
    """A part of the file: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Name = Annotated[str, AfterValidator(checked_name)]
Seconds = Annotated[int, BeforeValidator(quantities.seconds)]
Mebibytes = Annotated[int, BeforeValidator(quantities.mebibytes)]
Overrides = dict[str, Any]  # dotted key of params → value; the value replaces what stood there


def _percentage(value: Any) -> Any:
    if isinstance(value, str) and value.strip().endswith("%"):
        return float(value.strip()[:-1]) / 100
    return value


class Matrix(Part):
    """The varied parameters. Order: axes × zip, then exclude, include, named; each once a seed."""

    axes: dict[str, list[Any]] = {}  # dotted key → values
    zip: list[dict[str, list[Any]]] = []  # groups of axes that advance together
    exclude: list[Overrides] = []  # points that match all keys of one entry are removed
    include: list[Overrides] = []  # whole points added
    named: dict[Name, Overrides] = {}  # hand-picked points: name → overrides
    seeds: list[Annotated[int, Field(ge=0)]] = Field([0], min_length=1)


class Resources(Part):
    """What one array task asks for; the same on every cluster."""

    gpus: int = Field(0, ge=0)
    cpus: int = Field(1, ge=1)  # also the threads of each run, so that results do not depend on the allocation
    memory: Mebibytes | None = None  # MiB
    time: Seconds | None = None  # s
    partition: Name | None = None  # overrides the cluster file's


class Array(Part):
    """How runs are packed into array tasks."""

    max_parallel: int | None = Field(None, ge=1)  # array tasks that run at once
    runs_per_task: int = Field(1, ge=1)  # runs side by side in one array task; they share its GPU


class MemoryRaise(Part):
    memory: float = Field(1.5, ge=1)  # factor for the next attempt


class MicroBatchRaise(Part):
    micro_batch: float = Field(0.5, gt=0, le=1)


class TimeRaise(Part):
    time: float = Field(1.5, ge=1)


class Retry(Part):
    """What is done about failures that may pass."""

    max_attempts: int = Field(3, ge=1)
    out_of_memory: MemoryRaise = MemoryRaise()
    gpu_out_of_memory: MicroBatchRaise = MicroBatchRaise()
    timeout: TimeRaise = TimeRaise()


class Select(Part):
    """What ranks the variants."""

    metric: str = "val_mae"
    mode: Literal["min", "max"] = "min"
    within: Annotated[float, BeforeValidator(_percentage), Field(ge=0, lt=1)] = 0.05  # 5 %: counts as equal
    ratio: tuple[float, float] = (3.0, 10.0)  # healthy band of the fusion ratio


class Next(Part):
    """The next stage of a funnel."""

    config: str
    top: int = Field(3, ge=1)


class Keep(Part):
    checkpoints: Literal["all", "best"] = "all"  # best: last.pt is removed when a run is done


class Experiment(Part):
    """One experiment file."""

    experiment: Name  # names the directory runs/<experiment>
    description: str = ""
    task: str = "crystal"  # a task of ours, or package.module:Class
    params: dict[str, Any] = {}  # what every run shares; checked against the task's schema
    matrix: Matrix = Matrix()
    baseline: str | Overrides | None = None  # a variant's name, or keys that match exactly one variant
    cluster: str = "local"  # local, or a cluster file
    resources: Resources = Resources()
    array: Array = Array()
    retry: Retry = Retry()
    stop_after_same_error: int | None = Field(3, ge=1)  # circuit breaker; null: none
    select: Select = Select()
    health: dict[str, float] = {}  # thresholds that replace the defaults
    keep: Keep = Keep()
    next: Next | None = None
    promoted: dict[Name, dict[str, Any]] = {}  # variant → where it came from; written by `runner promote`


@dataclass(frozen=True)
class ExperimentFile:
    """A checked experiment file and where its keys stand."""

    source: Source
    experiment: Experiment

    @property
    def path(self) -> Path:
        return self.source.path


def load(path: Path, overrides: list[str] | None = None) -> ExperimentFile:
    """Read and check the experiment file `path`; `overrides` are `key=value` texts whose keys start at the top level
    or below `params`.

    Raises ConfigError with every mistake of the file, UserError when it is missing.
    """
    source = yaml_source.read(path)
    for text in overrides or []:
        _override(source, text)
    try:
        experiment = Experiment.model_validate(source.value)
    except ValidationError as error:
        raise ConfigError(problems(Experiment, error, source.problem)) from None
    return ExperimentFile(source, experiment)


def _override(source: Source, text: str) -> None:
    name, separator, written = text.partition("=")
    if not separator or not name.strip():
        raise ConfigError([Problem("is not key=value", key=f"--set {text}", allowed="--set train.epochs=5")])
    parts = name.strip().split(".")
    if parts[0] not in Experiment.model_fields:
        parts = ["params", *parts]
    value = yaml_source.parse(f"value: {written}", Path(f"--set {text}")).value["value"]
    place: Any = source.value
    for depth, part in enumerate(parts[:-1]):
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            key: Key = tuple(parts[: depth + 1])
            raise ConfigError([source.problem(key, f"is no mapping, so --set {text} cannot set a key below it")])
    place[parts[-1]] = value
