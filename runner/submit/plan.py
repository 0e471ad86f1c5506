"""What a submission would send, with what, and why it leaves the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from runner.config.experiment import Experiment, Resources
from runner.errors import UserError
from runner.matrix.expansion import Run
from runner.rundir.attempts import ended_attempts, exhausted, not_counting
from runner.rundir.failures import Kind
from runner.rundir.layout import ExperimentDir, RunDir
from runner.rundir.states import RunState
from runner.submit.scheduler_snapshot import Queue
from runner.submit.survey import survey

# Parameters and a factor → dotted keys to change so that a step needs less GPU memory; UserError where it cannot
Shrink = Callable[[Mapping[str, Any], float], dict[str, Any]]


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


@dataclass(frozen=True)
class Plan:
    """What a submission would send, and why it leaves the rest."""

    send: list[Run]
    states: dict[str, RunState]  # run id → state before
    completed: list[Run] = field(default_factory=list)
    under_way: list[Run] = field(default_factory=list)  # or unknown, while Slurm does not answer
    held_back: list[Run] = field(default_factory=list)  # failed or cancelled; need a person, or --force
    retry_plans: dict[str, RetryPlan] = field(default_factory=dict)  # run id → what it is sent with
    queue: Queue = field(default_factory=Queue)
    limits: Limits = field(default_factory=Limits)  # of the site, for an array task


@dataclass(frozen=True)
class Policy:
    """What decides whether and how a failed run is sent again."""

    force: bool = False  # also what a person should look at first
    kinds: tuple[str, ...] = ()  # only failures of these kinds; empty: all
    limits: Limits = field(default_factory=Limits)
    shrink: Shrink | None = None


def plan(directory: ExperimentDir, runs: Sequence[Run], experiment: Experiment, policy: Policy) -> Plan:
    """Sort `runs` by what is to be done with them: new and lost ones are sent, failed ones where the policy retries."""
    states, queue = survey(directory, (run.run_id for run in runs))
    result = Plan([], states, queue=queue, limits=policy.limits)
    for run in runs:
        state = states[run.run_id]
        if state.state == "completed":
            result.completed.append(run)
        elif state.state in ("running", "queued", "unknown"):
            result.under_way.append(run)
        elif policy.kinds and state.kind not in policy.kinds:
            continue
        elif policy.force or _may_send(directory.run(run.run_id), state, queue, experiment):
            retry = retry_plan(
                directory.run(run.run_id),
                run.params,
                experiment,
                policy.limits,
                policy.shrink,
                state.kind if state.state == "lost" else None,
            )
            result.retry_plans[run.run_id] = retry
            (result.held_back if retry.refused and not policy.force else result.send).append(run)
        else:
            result.held_back.append(run)
    return result


def tries(run: RunDir, state: RunState, queue: Queue) -> int:
    """How many attempts count towards `retry.max_attempts`.

    Of a run that has never started, how often it was sent: on a site where nothing starts it is not sent for ever.
    """
    return state.attempt - not_counting(ended_attempts(run)) if state.attempt else queue.sent[run.run_id]


def _may_send(run: RunDir, state: RunState, queue: Queue, experiment: Experiment) -> bool:
    if state.state in ("new", "cancelled"):
        return state.state == "new"
    no_time_left = not state.attempt and state.state == "failed"  # in its array task
    return state.retried and (no_time_left or tries(run, state, queue) < experiment.retry.max_attempts)
