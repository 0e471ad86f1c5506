"""result.json: what a completed run reports. It is written last."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from runner.files import write_json
from runner.record import Record
from runner.rundir.layout import RunDir


@dataclass(frozen=True)
class Result(Record):
    """A completed run."""

    run_id: str | None = None
    variant: str | None = None
    seed: int | None = None
    metrics: dict[str, float] = field(
        default_factory=dict
    )  # finite ones; val_*: at the best epoch, test_*: evaluated once
    best_epoch: int | None = None  # counted from 1
    epochs: int | None = None  # really trained
    stopped_early: bool = False
    seconds: float | None = None  # of all attempts
    parameters: int | None = None  # trainable ones
    attempts: int | None = None
    gpus: int | None = None  # that it held
    cost: dict[str, float] = field(default_factory=dict)  # what the last attempt was given, and used of it
    adjustments: dict[str, Any] = field(default_factory=dict)  # dotted key → what a retry changed
    fusion: dict[str, dict[str, float]] = field(default_factory=dict)  # layer → quantities at the best epoch
    health: str | None = None  # ok, warning or blocking
    extra: dict[str, Any] = field(default_factory=dict)  # of the task's own
    unusable: tuple[str, ...] = ()  # metrics that are no finite numbers

    readers: ClassVar = {"unusable": lambda value: None}

    @classmethod
    def of(cls, values: object, **known: Any) -> Self | None:
        """As every record; what is wrong with its metrics is kept."""
        result = super().of(values, **known)
        metrics = values.get("metrics") if isinstance(values, dict) else None
        if result is None or not isinstance(metrics, dict) or len(metrics) == len(result.metrics):
            return result
        return replace(result, unusable=tuple(sorted(metrics.keys() - result.metrics.keys())))

    def write(self, run: RunDir) -> None:
        write_json(run.result, {key: value for key, value in vars(self).items() if key != "unusable"})
