"""Which code a folder holds: its git commit and uncommitted changes, now or as they were when it was submitted."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from runner.files import read_mapping

PINNED = "checkout.json"  # in a snapshot: {code, user_code} of the folders that it was copied from
_DIFF_BYTES = 1 << 20
_ANSWER_S = 20


def checkout(folder: Path) -> dict[str, Any]:
    """Path, and git commit and uncommitted changes where `folder` is the top of a checkout.

    A folder inside another repository (an environment in somebody's project) has no commit of its own.
    """
    if not (folder / ".git").exists() or shutil.which("git") is None:
        return {"path": str(folder), "commit": None, "diff": None}
    diff = _git(folder, "diff", "HEAD") or ""
    if len(diff) > _DIFF_BYTES:
        diff = diff[:_DIFF_BYTES] + f"\n… cut; {len(diff)} characters in all\n"
    return {"path": str(folder), "commit": _git(folder, "rev-parse", "HEAD"), "diff": diff}


def checkouts(code: Path, user_code: Path | None) -> dict[str, Any]:
    """The same of our code and of the user's; where `code` is a snapshot, as both were when it was taken."""
    pinned = read_mapping(code / PINNED)
    return pinned or {"code": checkout(code), "user_code": checkout(user_code) if user_code else None}


def _git(folder: Path, *words: str) -> str | None:
    """What git prints; None when it fails or hangs, which must not keep a run from training."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, errors="replace", timeout=_ANSWER_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
