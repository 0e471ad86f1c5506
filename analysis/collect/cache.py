"""Caches of what a summary computed from files: in the user's own cache root, keyed by the experiment's path.

An entry holds for the time, size and inode of every file read. A cache of another VERSION or of other rules is ignored,
and always rebuildable. It never lies in the experiment: a directory that somebody else made would bring its own.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from analysis.collect.reading import json_object
from runner.files import write_text
from runner.rundir.cache_root import cache_root, make_folder, open_to_others
from runner.rundir.layout import ExperimentDir

VERSION = 4  # raised by whoever changes what is read of a run, a rule of health, or an interval


class Cache:
    """JSON values by key; those that nobody asks for again are dropped when it is saved."""

    def __init__(self, directory: ExperimentDir, name: str, rules: str) -> None:
        self.path, self._rules = cache_file(directory, name), f"{VERSION} {rules}"
        content = json_object(self.path)
        known = content.get("entries") if content and content.get("rules") == self._rules else None
        self._known = known if isinstance(known, dict) and not open_to_others(self.path) else {}
        self._used: dict[str, Any] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._used or key in self._known

    def __getitem__(self, key: str) -> Any:
        return self._used[key] if key in self._used else self._used.setdefault(key, self._known[key])

    def __setitem__(self, key: str, value: Any) -> None:
        self._used[key] = value

    def save(self) -> str:
        """Keep what was used, where it changed; returns why that is impossible, as in a read-only copy, or nothing."""
        if self._known.keys() == self._used.keys():
            return ""
        try:
            make_folder(self.path.parent)
            content = {"rules": self._rules, "entries": self._used}
            write_text(self.path, json.dumps(content, separators=(",", ":")), private=True)
        except OSError as error:
            return f"{self.path}: {error.strerror}"
        return ""


def cache_file(directory: ExperimentDir, name: str) -> Path:
    """Where a cache of the experiment lies: below the cache root, in a folder named after its real path."""
    key = hashlib.sha256(os.path.realpath(directory.path).encode(errors="surrogateescape")).hexdigest()[:32]
    return cache_root() / "summaries" / key / name
