"""Which code a folder holds: its git commit and uncommitted changes, now or as they were when it was submitted."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.files import read_mapping, write_json
from runner.masking import masked

PINNED = "checkout.json"  # in a snapshot: the record of the folders that it was copied from
PRIVATE = "private.json"  # in a snapshot: their uncommitted changes, for its owner alone
_DIFF_BYTES = 1 << 20
_ANSWER_S = 20


@dataclass(frozen=True)
class Checkouts:
    """Our code and the user's."""

    record: Mapping[str, Any]  # {code, user_code}: {path, commit, changes: digest of the uncommitted ones}, or None
    diffs: Mapping[str, str]  # code, user_code → uncommitted changes, secrets masked

    def write(self, snapshot: Path) -> None:
        """Leave both in a copy of the code, where `checkouts` reads them."""
        write_json(snapshot / PINNED, self.record)
        write_json(snapshot / PRIVATE, self.diffs, private=True)


def checkouts(code: Path, user_code: Path | None) -> Checkouts:
    """Of our code and of the user's; where `code` is a snapshot, as both were when it was taken."""
    if pinned := read_mapping(code / PINNED):
        diffs: dict[str, str] = {}
        with contextlib.suppress(PermissionError):  # somebody else's submission
            diffs = read_mapping(code / PRIVATE)
        return Checkouts(pinned, diffs)
    record: dict[str, Any] = {"code": None, "user_code": None}
    diffs = {}
    for name, folder in (("code", code), ("user_code", user_code)):
        if folder is not None:
            commit, diff = _commit_and_diff(folder)
            changes = hashlib.sha256(diff.encode()).hexdigest()[:12] if diff else None
            record[name] = {"path": str(folder), "commit": commit, "changes": changes}
            if diff:
                diffs[name] = masked(diff)
    return Checkouts(record, diffs)


def _commit_and_diff(folder: Path) -> tuple[str | None, str]:
    """Nothing where `folder` is not the top of a checkout: inside another repository it has no commit of its own."""
    if not (folder / ".git").exists() or shutil.which("git") is None:
        return None, ""
    diff = _git(folder, "diff", "HEAD") or ""
    if len(diff) > _DIFF_BYTES:
        diff = diff[:_DIFF_BYTES] + f"\n… cut; {len(diff)} characters in all\n"
    return _git(folder, "rev-parse", "HEAD"), diff


def _git(folder: Path, *words: str) -> str | None:
    """What git prints; None when it fails or hangs, which must not keep a run from training."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, errors="replace", timeout=_ANSWER_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
