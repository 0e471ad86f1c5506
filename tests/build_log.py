"""The log of what was computed in a cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobs.content_cache import BUILDS
from runner.files import read_json_lines


def builds(root: Path) -> list[dict[str, Any]]:
    """What was computed in this cache, oldest first."""
    return read_json_lines(root / BUILDS)
