"""What a failed run needs to succeed the next time: more memory, more time, smaller pieces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from runner.config.experiment import Experiment, Resources
from runner.errors import UserError
from runner.rundir.attempts import ended_attempts, exhausted
from runner.rundir.failures import Kind
from runner.rundir.layout import RunDir

Shrink = Callable[[Mapping[str, Any], float], dict[str, Any]]
"""Parameters and a factor → dotted keys to change so that a step needs less GPU memory; UserError where it cannot."""


@dataclass(frozen=True)
class Limits:
    """What the site allows a job at most; None: no limit known."""

    seconds: int | None = None
    mebibytes: int | None = None
    cpus: int | None = None  # of the largest node


@dataclass(frozen=True)
class RetryPlan:
    """What the next attempt of a run is given."""

    resources: Resources
    adjustments: dict[str, Any] = field(default_factory=dict)  # dotted key of params → value for this run only
    refused: str | None = None  # why no further attempt would help


def retry_plan(
    run: RunDir,
    params: Mapping[str, Any],
    experiment: Experiment,
    limits: Limits,
    shrink: Shrink | None,
    last: Kind | None = None,
) -> RetryPlan:
    """Raise what earlier attempts ran out of, once for each time they did, up to what the site allows.

    last: how the last one ended, where Slurm tells more of it than the files of the run.
    """
    attempts = ended_attempts(run)
    if last and attempts:
        attempts[-1] = replace(attempts[-1], kind=last)
    kinds, policy, asked = exhausted(attempts), experiment.retry, experiment.resources
    changes: dict[str, int] = {}
    if asked.memory and kinds[Kind.OUT_OF_MEMORY]:
        raised = asked.memory * policy.out_of_memory.memory ** kinds[Kind.OUT_OF_MEMORY]
        changes["memory"] = _capped(raised, limits.mebibytes)
    if asked.time and kinds[Kind.TIMEOUT]:
        changes["time"] = _capped(asked.time * policy.timeout.time ** kinds[Kind.TIMEOUT], limits.seconds)
    resources = asked.model_copy(update=changes)
    if not kinds[Kind.GPU_OUT_OF_MEMORY]:
        return RetryPlan(resources)
    if shrink is None:
        return RetryPlan(resources, refused="its task cannot work in smaller pieces; ask for a larger GPU")
    try:
        shrunk = shrink(params, policy.gpu_out_of_memory.micro_batch ** kinds[Kind.GPU_OUT_OF_MEMORY])
        return RetryPlan(resources, shrunk)
    except UserError as error:
        return RetryPlan(resources, refused=error.message)


def _capped(wanted: float, limit: int | None) -> int:
    return int(wanted) if limit is None else min(int(wanted), limit)
