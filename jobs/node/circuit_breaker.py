"""The circuit breaker: a mistake that every run makes should not burn every allocation.

It needs no daemon: each worker, before it starts a run, counts the failures that the experiment already has.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from runner.rundir.attempts import ended_attempts, exhausted, not_counting
from runner.rundir.failures import Failure, Kind, is_retried, read_failure
from runner.rundir.layout import ExperimentDir, RunDir
from runner.rundir.run_config import RunConfig

_MEMORY = (Kind.OUT_OF_MEMORY, Kind.GPU_OUT_OF_MEMORY)
_AGAIN = 2  # deaths for its memory; the first is answered by more memory or smaller pieces


def tripped(experiment: ExperimentDir, config: RunConfig, limit: int, since: float) -> str | None:
    """The message for failure.json when `limit` runs failed in one way since the submission, else None.

    config: of the run that is to start. since: Unix seconds of the submission; older failures may be fixed by now.
    Kinds that are retried do not count: they say something about the machine, except for memory, where more of it did
    not help or is not given. Nor do runs that the breaker itself has stopped.
    """
    counts: Counter[str] = Counter()
    for path in sorted(experiment.runs.iterdir()):
        failure = _final_failure(experiment.run(path.name), config)
        if failure is None or failure.time < since:
            continue
        counts[failure.fingerprint] += 1
        if counts[failure.fingerprint] >= limit:
            what = failure.message.partition("\n")[0]
            return (
                f"not started: {limit} runs of this experiment failed in the same way ({failure.fingerprint}), the "
                f"last one {path.name}: {what}; fix it, then `runner resubmit {experiment.path.name} --force`"
            )
    return None


def _final_failure(run: RunDir, config: RunConfig) -> Failure | None:
    """The failure of `run` that no retry will fix."""
    failure = read_failure(run)
    if failure is not None and not is_retried(failure.kind, config.task):
        return None if failure.kind is Kind.CANCELLED else failure
    if run.result.exists() or not run.attempts.exists():
        return None
    attempts = ended_attempts(run)
    if not attempts or (kind := attempts[-1].kind) not in _MEMORY:
        return None
    used_up = attempts[-1].number - not_counting(attempts) >= config.retry.max_attempts
    if not used_up and exhausted(attempts)[kind] < _AGAIN:
        return None
    last = failure or Failure(kind, "killed for its memory", attempts[-1].number, attempts[-1].started)
    return replace(last, fingerprint=kind)
