"""The circuit breaker: a mistake that every run makes should not burn every allocation.

It needs no daemon: each worker, before it starts a run, counts the failures that the experiment already has.
"""

from __future__ import annotations

from collections import Counter

from jobs.failure import Kind, read_failure
from runner.layout import ExperimentDir


def tripped(experiment: ExperimentDir, limit: int, since: float) -> str | None:
    """The message for failure.json when `limit` runs failed in one way since the submission, else None.

    since: Unix seconds of the submission; older failures may have been mended. Kinds that are retried do not count:
    they say something about the machine. Nor do runs that the breaker itself has stopped.
    """
    counts: Counter[str] = Counter()
    for path in sorted(experiment.runs.iterdir()):
        failure = read_failure(experiment.run(path.name))
        if failure is None or failure.kind.retried or failure.kind is Kind.CANCELLED or failure.time < since:
            continue
        counts[failure.fingerprint] += 1
        if counts[failure.fingerprint] >= limit:
            return (
                f"not started: {limit} runs of this experiment failed in the same way ({failure.fingerprint}), the "
                f"last one {path.name}: {failure.message.splitlines()[0]}; mend it, then "
                f"`runner resubmit {experiment.path.name} --force`"
            )
    return None
