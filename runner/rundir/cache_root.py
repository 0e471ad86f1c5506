"""The cache of one person: where it lies, who else could write there, and for which runs it was filled."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from runner.files import read_json, write_json


def cache_root(named: str | Path | None = None) -> Path:
    """The cache: `named` (of a cluster file), else RUNNER_CACHE, else ~/.cache/runner; `~` is expanded."""
    return Path(os.path.expanduser(named or os.environ.get("RUNNER_CACHE") or "~/.cache/runner")).absolute()


def make_folder(path: Path) -> None:
    """Make `path` and the folders above it that are missing, writable for this user alone whatever the umask."""
    for folder in reversed((path, *path.parents)):
        if not folder.exists():
            folder.mkdir(mode=0o755, exist_ok=True)


def open_to_others(path: Path) -> Path | None:
    """The first folder on the way to `path`, or `path`, through which another user could have written it; None: none.

    Root is trusted. A sticky folder such as /tmp is passed where the next one is this user's, with mode 0700.
    """
    user = os.getuid()
    for whole in dict.fromkeys((path.absolute(), path.resolve())):
        shared: Path | None = None  # the sticky folder just above
        for place in (*reversed(whole.parents), whole):
            status = place.lstat()
            if status.st_uid not in (0, user):
                return place
            if shared and (status.st_uid != user or status.st_mode & 0o077):
                return shared
            writable = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            shared = place if writable and not stat.S_ISLNK(status.st_mode) else None  # a link's mode means nothing
            if shared and (place == whole or not status.st_mode & stat.S_ISVTX):
                return place
    return None


def is_prepared(root: Path, experiment: str, run_ids: Iterable[str]) -> bool:
    """Whether the cache was filled for all of `run_ids`. Their ids hold a hash of their parameters."""
    return set(run_ids) <= _recorded(root, experiment)


def record_prepared(root: Path, experiment: str, run_ids: Iterable[str]) -> None:
    """Note that the cache holds what `run_ids` need."""
    write_json(_path(root, experiment), sorted({*run_ids, *_recorded(root, experiment)}), indent=None)


def _recorded(root: Path, experiment: str) -> set[str]:
    listed = read_json(_path(root, experiment))
    return set(listed) if isinstance(listed, list) else set()


def _path(root: Path, experiment: str) -> Path:
    return root / "prepared" / f"{experiment}.json"
