"""`runner submit --wait` of a search: waits for a round, decides it, sends the next one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from runner.commands.loading import Loaded
from runner.commands.status import Status, take
from runner.commands.submit import Outcome, lines, submit
from runner.commands.watch import SHORTEST_S, watch
from runner.config.cluster import Cluster
from runner.errors import CommandFailed
from runner.matrix.expansion import Run
from runner.submit.plan import Policy
from runner.submit.submission import Origin
from runner.terminal import tell

AGAIN_SECONDS = 5.0  # after which a submission is tried again that the scheduler, or another submission, refused
TRIES = 60


def follow_rounds(loaded: Loaded, cluster: Cluster, origin: Origin, runs: Sequence[Run], outcome: Outcome) -> Outcome:
    """Go on until nothing more is sent; the last outcome, whose runs are those of the last round."""
    while outcome.plan.send or outcome.plan.under_way:
        watch(partial(_taken, loaded, set(outcome.plan.states)), SHORTEST_S)
        outcome = _again(loaded, cluster, origin, runs)
        for line in lines(outcome, loaded, cluster, dry_run=False):
            tell(line)
    return outcome


def _taken(loaded: Loaded, run_ids: set[str]) -> Status:
    return take(loaded.directory).only(run_ids)


def _again(loaded: Loaded, cluster: Cluster, origin: Origin, runs: Sequence[Run]) -> Outcome:
    for _ in range(TRIES - 1):
        try:
            return submit(loaded, cluster, origin, runs, Policy(), dry_run=False)
        except CommandFailed as error:
            tell(f"{error.message}; tried again in {AGAIN_SECONDS:.0f} s")
            time.sleep(AGAIN_SECONDS)
    return submit(loaded, cluster, origin, runs, Policy(), dry_run=False)
