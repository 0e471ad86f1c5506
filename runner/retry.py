"""What a failed run needs to succeed the next time: more memory, more time, smaller pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.errors import UserError
from runner.experiment import Experiment, Resources
from runner.files import read_json_lines, read_mapping
from runner.layout import RunDir
from runner.lost import kind_of_unended

Shrink = Callable[[Mapping[str, Any], float], dict[str, Any]]
"""Parameters and a factor → dotted keys to change so that a step needs less GPU memory; UserError where it cannot."""


@dataclass(frozen=True)
class Limits:
    """What the site allows a job at most; None: no limit known."""

    seconds: int | None = None
    mebibytes: int | None = None


@dataclass(frozen=True)
class Needs:
    """What the next attempt of a run is given."""

    resources: Resources
    adjustments: dict[str, Any] = field(default_factory=dict)  # dotted key of params → value for this run only
    refused: str | None = None  # why no further attempt would help


def past_kinds(run: RunDir) -> Counter[str]:
    """How often the attempts of a run ended with each kind."""
    lines = read_json_lines(run.attempts)
    kinds = Counter(str(line["kind"]) for line in lines if "ended" in line and line.get("kind"))
    if lines and "ended" not in lines[-1]:  # it was killed with its parent; the next attempt will write this down
        number = lines[-1].get("attempt", 0)
        kinds[kind_of_unended(number, read_mapping(run.failure), read_mapping(run.heartbeat))] += 1
    return kinds


def needs(
    run: RunDir, params: Mapping[str, Any], experiment: Experiment, limits: Limits, shrink: Shrink | None
) -> Needs:
    """Raise what earlier attempts ran out of, once for each time they did, up to what the site allows."""
    kinds, policy, asked = past_kinds(run), experiment.retry, experiment.resources
    changes: dict[str, int] = {}
    if asked.memory and kinds["out_of_memory"]:
        wanted = asked.memory * policy.out_of_memory.memory ** kinds["out_of_memory"]
        changes["memory"] = _capped(wanted, limits.mebibytes)
    if asked.time and kinds["timeout"]:
        changes["time"] = _capped(asked.time * policy.timeout.time ** kinds["timeout"], limits.seconds)
    resources = asked.model_copy(update=changes)
    if not kinds["gpu_out_of_memory"]:
        return Needs(resources)
    if shrink is None:
        return Needs(resources, refused="its task cannot work in smaller pieces; ask for a larger GPU")
    try:
        factor = policy.gpu_out_of_memory.micro_batch ** kinds["gpu_out_of_memory"]
        return Needs(resources, shrink(params, factor))
    except UserError as error:
        return Needs(resources, refused=error.message)


def _capped(wanted: float, limit: int | None) -> int:
    return int(wanted) if limit is None else min(int(wanted), limit)
