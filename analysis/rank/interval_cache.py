"""The cache of intervals between variants, which cost reading predictions; rebuildable like that of the runs."""

from __future__ import annotations

import hashlib
from dataclasses import asdict

from analysis.collect.collection import CollectedRun
from analysis.collect.reading import json_object
from analysis.collect.record_cache import VERSION, cache_file, write_cache
from analysis.rank.statistics import Interval, SeedVariance
from runner.rundir.layout import ExperimentDir

Pair = tuple[tuple[CollectedRun, ...], tuple[CollectedRun, ...]]


class IntervalCache:
    """Intervals by what they were computed from: metric, rules, and time and size of the files of both sides."""

    def __init__(self, directory: ExperimentDir, metric: str) -> None:
        self.path = cache_file(directory, "intervals.json")
        self._rules = f"{VERSION} {metric}"
        content = json_object(self.path) or {}
        self._known: dict[str, Interval | None] = {}
        if content.get("rules") == self._rules:
            self._known = {key: value and Interval(**value) for key, value in content["intervals"].items()}
        self._stored = frozenset(self._known)
        self._used: dict[str, Interval | None] = {}

    def key(self, pair: Pair, pooled: SeedVariance | None) -> str:
        """What the interval between two variants depends on."""
        seen = [[(run.run_id, run.plan.seed, run.signature) for run in side] for side in pair]
        return hashlib.sha256(repr((seen, pooled)).encode()).hexdigest()[:32]

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def get(self, key: str) -> Interval | None:
        """A cached interval; None is a pair that nothing pairs."""
        self._used[key] = self._known[key]
        return self._known[key]

    def put(self, key: str, interval: Interval | None) -> None:
        self._known[key] = self._used[key] = interval

    def save(self) -> str:
        """Keep what was used since the start, where it changed; returns why it cannot be written, or nothing."""
        if self._stored == self._used.keys():
            return ""
        content = {key: interval and asdict(interval) for key, interval in self._used.items()}
        return write_cache(self.path, {"rules": self._rules, "intervals": content})
