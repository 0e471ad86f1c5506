"""What a kind of training must offer to be run: parameters, preparation, one run.

A task class is importable without torch: heavy imports stand inside `prepare` and `run`, because the command line
loads the class only to check parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from jobs.context import RunContext
from runner.errors import UserError


@dataclass(frozen=True)
class Outcome:
    """What a finished run reports; written to result.json by the child process."""

    metrics: dict[str, float]  # val_*: at the best epoch; test_*: evaluated once, at the best epoch
    best_epoch: int | None = None  # counted from 1
    epochs: int | None = None  # epochs really trained
    stopped_early: bool = False  # before the planned epochs, because nothing got better
    parameters: int | None = None  # trainable parameters
    fusion: dict[str, dict[str, float]] = field(default_factory=dict)  # layer → logged quantities at the best epoch
    extra: dict[str, Any] = field(default_factory=dict)  # further JSON values of the task's own


@dataclass(frozen=True)
class Preparation:
    """One thing that was looked for before the runs start."""

    what: str  # "graphs of mp6k (6,277 crystals)"
    ready: bool  # False: `runner prepare` says what is missing, and fails
    detail: str = ""  # where it lies, or why it is missing and what to do


def attempted(what: str, prepare: Callable[..., str], *arguments: Any) -> Preparation:
    """What `prepare(*arguments)` says of the thing that it made ready, or why it could not."""
    try:
        return Preparation(what, True, prepare(*arguments))
    except (UserError, OSError) as error:
        return Preparation(what, False, str(error))


class Task(Protocol):
    """A kind of training. Methods raise `jobs.failure.RunFailure` for a failure that has a known kind."""

    Params: ClassVar[type[BaseModel]]  # frozen, extra="forbid"
    seed_key: ClassVar[str]  # dotted key that the experiment's `seeds` set

    # Optional: reported(params) -> runner.config.ranking.Reported: the metrics of a run, and the good end of each;
    # quantities(all_params) -> Sequence[runner.health.quantities.Quantity]: units, healthy borders and advice of what
    # the runs log. `submit` keeps them as data: columns, figures and health rules follow, here and without this class.
    # advice: ClassVar[Mapping[Kind, str]]: what to do about a failure, where its keys are the task's own.

    def prepare(self, params: Sequence[BaseModel], cache_root: Path, log: Callable[[str], None]) -> list[Preparation]:
        """Fetch data and fill the caches for all `params`; runs on a node with internet."""

    def run(self, params: BaseModel, context: RunContext) -> Outcome:
        """Train one variant with one seed; checkpoints when `context.stop_reason` is set and raises `Stopped`."""
