"""result.json: what a completed run reports, written last; and what runs were given, what they used of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any, ClassVar, Self

from runner.files import as_number, write_json
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


ROOM_OF_MEMORY, ROOM_OF_TIME = 1.25, 1.3  # how much more than the most that was used is proposed
FIT = 0.8  # a proposal above this share of what was asked for is not worth a change


def cost_line(costs: Iterable[Mapping[str, Any]]) -> str | None:
    """`asked for 16G, 30m a run; used at most 4.2G, 18m: ask for 6G, 25m`; None where no run told what it used.

    costs: `cost` of each result.json: asked_memory_mib, asked_seconds, memory_mib, seconds, gpu_memory_mib.
    """
    reported = [cost for cost in costs if as_number(cost.get("memory_mib"))]
    if not reported:
        return None

    def all_of(name: str) -> list[float]:
        return [as_number(cost.get(name)) or 0.0 for cost in reported]

    memory, seconds = max(all_of("memory_mib")), max(all_of("seconds"))
    asked = [max(all_of("asked_memory_mib")), max(all_of("asked_seconds"))]
    room, time = ROOM_OF_MEMORY * memory, ROOM_OF_TIME * seconds
    proposed = [
        _rounded_up(room, 128 if room < 1024 else 1024),
        _rounded_up(time, 60 if time < 300 else 300 if time < 7200 else 1800),
    ]
    shown = (shown_memory, shown_time)
    given = ", ".join(show(value) if value else "any" for show, value in zip(shown, asked, strict=True))
    line = f"asked for {given} a run; used at most {shown_memory(memory)}, {shown_time(seconds)}"
    line += f" (half of them {shown_time(median(all_of('seconds')))} or less)" if len(reported) > 2 else ""
    if gpu := max(all_of("gpu_memory_mib")):
        line += f", {shown_memory(gpu)} of GPU memory"
    if any(not was or not FIT * was < now <= was for was, now in zip(asked, proposed, strict=True)):
        line += ": ask for " + ", ".join(show(value) for show, value in zip(shown, proposed, strict=True))
    return line


def shown_memory(mebibytes: float) -> str:
    """As a file asks for it: 300M, 4.2G."""
    return f"{mebibytes / 1024:.3g}G" if mebibytes >= 1024 else f"{mebibytes:.0f}M"


def shown_time(seconds: float) -> str:
    """As a file asks for it: 20s, 25m, 3.5h."""
    return f"{seconds:.0f}s" if seconds < 60 else f"{seconds / 60:.0f}m" if seconds < 7200 else f"{seconds / 3600:.3g}h"


def _rounded_up(value: float, step: int) -> int:
    return step * math.ceil(max(value, 1) / step)
