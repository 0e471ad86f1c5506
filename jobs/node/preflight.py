"""Whether a run may start here and now, and its start."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from jobs.failure import failure_of_exception
from jobs.node.allocation import Allocation
from jobs.node.circuit_breaker import tripped
from jobs.node.run_process import RunProcess, spawn
from runner.errors import CommandFailed, UserError
from runner.files import refuse_links
from runner.rundir.attempts import begin_attempt, end_attempt
from runner.rundir.claim import Claim, Held, acquire
from runner.rundir.failures import Failure, Kind, read_failure
from runner.rundir.layout import RunDir
from runner.rundir.lock import Holder
from runner.rundir.run_config import read_run_config

# A run that ended so goes on when Slurm runs its array task again; other failures of the same job stand. A job that is
# really cancelled is never run again: what looked so was a preemption, while Slurm did not answer.
_GOES_ON = (Kind.TIMEOUT, Kind.PREEMPTED, Kind.NODE_FAILURE, Kind.KILLED, Kind.CANCELLED)


@dataclass(frozen=True)
class Refused:
    """A run that was not started, and is nobody else's either."""

    why: str
    failed: bool


def begin(directory: RunDir, allocation: Allocation, interval: float) -> RunProcess | Refused | Held:
    """Claim the run and start its child, unless it is completed, cancelled, held, or must not run.

    interval: seconds between two heartbeats.
    """
    if not directory.path.is_dir():
        return Refused(f"there is no directory {directory.path}", failed=True)
    try:
        refuse_links(*directory.folders)
        if directory.result.exists():
            return Refused("completed already", failed=False)
        if directory.cancelled.exists():
            return Refused("cancelled before it started", failed=False)
        claim = acquire(directory, Holder.here(allocation.job_id), interval)
        if isinstance(claim, Held):
            return claim
        started: RunProcess | Refused | None = None
        try:
            started = _start(claim, allocation)
        finally:
            if not isinstance(started, RunProcess):
                claim.release()
        return started
    except (OSError, CommandFailed) as error:  # a full disk or a link of one run must not end those beside it
        return Refused(f"not started: {error}", failed=True)


def _start(claim: Claim, allocation: Allocation) -> RunProcess | Refused:
    directory = claim.directory
    if directory.result.exists():  # completed between the first look and the claim
        return Refused("completed already", failed=False)
    before = read_failure(directory)
    if before and allocation.restarts and before.job_id == allocation.job_id and before.kind not in _GOES_ON:
        return Refused(f"failed before in this job ({before.kind}); not started again", failed=True)
    try:
        config = read_run_config(directory)
    except UserError as error:
        attempt = begin_attempt(directory, allocation.job_id, os.getpid())
        failure_of_exception(error, attempt.number, allocation.job_id).write(directory)
        end_attempt(directory, attempt, "failed", kind=Kind.BAD_CONFIG)
        return Refused(str(error), failed=True)
    limit = config.stop_after_same_error
    stopped = tripped(directory.experiment, limit, allocation.submitted, config.retry.max_attempts) if limit else None
    if stopped:
        number = before.attempt if before else 0
        Failure(Kind.CANCELLED, stopped, number, time.time(), allocation.job_id, fingerprint="breaker").write(directory)
        return Refused(stopped, failed=True)
    return spawn(claim, config, allocation)
