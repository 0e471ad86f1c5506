"""The circuit breaker: a mistake that every run makes should not burn every allocation.

It needs no daemon: each worker, before it starts a run, counts the failures that the experiment already has.
"""

from __future__ import annotations

from collections import Counter

from runner.rundir.attempts import ended_attempts, not_counting
from runner.rundir.failures import Failure, Kind, read_failure
from runner.rundir.layout import ExperimentDir, RunDir


def tripped(experiment: ExperimentDir, limit: int, since: float, max_attempts: int) -> str | None:
    """The message for failure.json when `limit` runs failed in one way since the submission, else None.

    since: Unix seconds of the submission; older failures may have been mended. Kinds that are retried do not count:
    they say something about the machine, except for memory, when it has used up `max_attempts`. Nor do runs that the
    breaker itself has stopped.
    """
    counts: Counter[str] = Counter()
    for path in sorted(experiment.runs.iterdir()):
        failure = _final_failure(experiment.run(path.name), max_attempts)
        if failure is None or failure.time < since:
            continue
        counts[failure.fingerprint] += 1
        if counts[failure.fingerprint] >= limit:
            return (
                f"not started: {limit} runs of this experiment failed in the same way ({failure.fingerprint}), the "
                f"last one {path.name}: {failure.message.splitlines()[0]}; mend it, then "
                f"`runner resubmit {experiment.path.name} --force`"
            )
    return None


def _final_failure(run: RunDir, max_attempts: int) -> Failure | None:
    """The failure of `run` that no retry will mend."""
    failure = read_failure(run)
    if failure is not None and not failure.kind.retried:
        return None if failure.kind is Kind.CANCELLED else failure
    if run.result.exists() or not run.attempts.exists():
        return None
    attempts = ended_attempts(run)
    if not attempts or attempts[-1].kind is not Kind.OUT_OF_MEMORY:
        return None
    if attempts[-1].number - not_counting(attempts) < max_attempts:
        return None
    kind, last = Kind.OUT_OF_MEMORY, attempts[-1]
    what = "its memory did not suffice in any attempt"
    return failure or Failure(kind, what, last.number, last.started, last.job_id, fingerprint=f"{kind}:killed")
