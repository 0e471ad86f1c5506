"""`runner prepare`: on a machine with internet, fetch data and encoders and fill the caches."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from jobs.context import default_cache_root
from jobs.task import Preparation
from runner.cluster import Cluster
from runner.commands.loading import Loaded


def prepare(loaded: Loaded, cluster: Cluster, say: Callable[[str], None]) -> list[Preparation]:
    """Let the task prepare all runs, in the cache that the cluster's workers will read."""
    cache_root = Path(cluster.cache).expanduser() if cluster.cache else default_cache_root()
    os.environ["RUNNER_CACHE"] = str(cache_root)
    return loaded.task.prepare(loaded.models(loaded.expansion.runs), cache_root, say)
