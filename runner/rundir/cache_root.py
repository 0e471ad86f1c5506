"""Where results that are computed once lie, for every run and every command of one person."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root(named: str | Path | None = None) -> Path:
    """The cache: `named` (of a cluster file), else RUNNER_CACHE, else ~/.cache/runner; `~` is expanded."""
    return Path(os.path.expanduser(named or os.environ.get("RUNNER_CACHE") or "~/.cache/runner")).absolute()
