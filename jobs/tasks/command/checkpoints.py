"""The checkpoint that a resumed command needs: a file or folder, or the newest of those that a pattern means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from glob import escape
from pathlib import Path
from typing import Any

from runner.config.template import fill


def newest_checkpoint(folder: Path, name: str, values: Mapping[str, Any]) -> Path | None:
    """The one with the largest numbers in its name, and the latest where they are equal; None where there is none."""
    present = [path for path in folder.glob(fill(name, values, escape)) if path.exists()]
    return max(present, key=lambda path: (_numbers(path), path.stat().st_mtime_ns), default=None)


def epoch_of(checkpoint: Path) -> int | None:
    """The epoch that its name says, as the command counts: of `epoch=3-step=400` the 3, else the last number."""
    named = re.search(r"epoch[=_-]?(\d+)", checkpoint.name, re.IGNORECASE)
    numbers = [int(named[1])] if named else _numbers(checkpoint)
    return numbers[-1] if numbers else None


def _numbers(path: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", path.name)]
