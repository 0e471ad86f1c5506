"""`runner prepare`: on a machine with internet, fetch data and encoders and fill the caches."""

from __future__ import annotations

import os
from collections.abc import Callable

from jobs.task import Preparation
from runner.commands.loading import Loaded
from runner.config.cluster import Cluster
from runner.rundir.cache_root import cache_root
from runner.submit import prepare_index


def prepare(loaded: Loaded, cluster: Cluster, say: Callable[[str], None]) -> list[Preparation]:
    """Let the task prepare all runs, in the cache that the cluster's workers will read."""
    root = cache_root(cluster.cache)
    os.environ["RUNNER_CACHE"] = str(root)
    items = loaded.task.prepare(loaded.models(loaded.expansion.runs), root, say)
    if all(item.ready for item in items):
        prepare_index.record(root, loaded.experiment.experiment, (run.run_id for run in loaded.expansion.runs))
    return items
