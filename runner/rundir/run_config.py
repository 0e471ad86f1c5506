"""config.yaml of a run: written at submission, read by the worker."""

from __future__ import annotations

from glob import escape
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from runner.config import yaml_source
from runner.config.dotted import at, with_value
from runner.config.template import fill, flat
from runner.config.yaml_output import dump
from runner.errors import ConfigError, Problem
from runner.files import read_bytes, write_text
from runner.health.quantities import read_quantities
from runner.health.thresholds import Thresholds, overridden
from runner.rundir.layout import RunDir
from runner.rundir.ledger import Part


class Keep(Part):
    """What stays when a run has completed."""

    checkpoints: Literal["all", "best", "none"] = "all"  # best: last.pt is removed; none: all


class Retry(Part):
    """As much of the retry policy as the worker needs."""

    max_attempts: int = Field(3, ge=1)


class RunConfig(Part):
    """One resolved run."""

    experiment: str
    run_id: str
    variant: str
    seed: int
    task: str
    axes: dict[str, Any] = {}  # dotted key → value
    threads: int = Field(1, ge=1)
    gpus: int = Field(0, ge=0)
    memory: int | None = Field(None, ge=1)  # MiB that this run was sent with
    time: int | None = Field(None, ge=1)  # seconds that this run was sent with
    keep: Keep = Keep()
    retry: Retry = Retry()
    stop_after_same_error: int | None = Field(None, ge=1)
    interpreter: list[str] | None = Field(None, min_length=1)  # starts the child, in a container for one
    health: dict[str, Any] = {}  # thresholds that replace the defaults
    quantities: list[dict[str, Any]] = []  # that the task declares
    ratio: tuple[float, float] | None = None  # healthy band of the fusion ratio
    metric: str = "val_mae"  # that ranks the variants
    mode: Literal["min", "max"] = "min"
    code_path: Path | None = None
    config_dir: Path | None = None  # the folder of the experiment file
    below: str | None = Field(None, pattern=r"^[^/]*[^/.][^/]*$")  # run of the next smaller budget, to begin from
    keep_stable: bool = False  # write stable.pt for the run of the next larger budget
    adjustments: dict[str, Any] = {}  # dotted key of params → value for this run's next attempt only
    params: dict[str, Any]

    def thresholds(self) -> Thresholds:
        """Of the health rules; ConfigError for a name that is none."""
        return overridden(self.health, self.ratio, quantities=read_quantities(self.quantities))

    @property
    def checkpoints(self) -> list[str]:
        """What holds the state of a command, a pattern below the run's directory; ours have their own names."""
        name, values = at(self.params, "command.checkpoint"), self.params.get("values")
        known = {"run_id": self.run_id, "seed": self.seed, "threads": self.threads}
        known |= flat(values) if isinstance(values, dict) else {}
        try:
            return [f"{RunDir.output.name}/{fill(name, known, escape)}"] if isinstance(name, str) else []
        except (KeyError, ValueError):  # of a task of the user's that has other names
            return []

    def adjusted(self) -> dict[str, Any]:
        """The parameters with the adjustments that an earlier failure made necessary."""
        params = self.params
        for key, value in self.adjustments.items():
            params = with_value(params, key.split("."), value)
        return params

    def write(self, run: RunDir) -> None:
        write_text(run.config, dump(self.model_dump(mode="json")))


def read_run_config(directory: RunDir) -> RunConfig:
    """Raises ConfigError, naming the file, when it is missing or damaged."""
    path = directory.config
    try:
        return RunConfig.model_validate(yaml_source.parse(read_bytes(path).decode(errors="replace"), path).value)
    except FileNotFoundError:
        problems = [Problem("missing; it is written by `runner submit`", file=str(path))]
    except ValidationError as error:
        problems = problems_of(error, str(path))
    raise ConfigError(problems)


def problems_of(error: ValidationError, file: str, prefix: str = "") -> list[Problem]:
    """What pydantic found, with dotted keys."""
    keys = [".".join([prefix, *map(str, item["loc"])]).strip(".") or None for item in error.errors()]
    return [
        Problem(f"{item['msg']}; found {item['input']!r}", key=key, file=file)
        for key, item in zip(keys, error.errors(), strict=True)
    ]
