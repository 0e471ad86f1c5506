"""Which code a folder holds: its git commit and uncommitted changes, now or as they were when it was submitted."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any

from runner.files import read_mapping

PINNED = "checkout.json"  # in a snapshot: {code, user_code} of the folders that it was copied from
_DIFF_BYTES = 1 << 20
_ANSWER_S = 20
_COMPUTES = ("jobs", "models")  # the packages of ours that a run computes with
_NO_CODE = {"doc", "docs", "test", "tests"}  # folders whose files cannot change a result


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
    if pinned:
        return pinned
    users = checkout(user_code) if user_code else None
    if user_code and users and users["commit"]:
        users["digest"] = _digest([*_tracked(user_code), *_changed(str(users["diff"]))])
    return {"code": {**checkout(code), "digest": package_digest(code)}, "user_code": users}


def package_digest(code: Path) -> str:
    """What names the code below `code` that can change a result, whatever is committed beside it."""
    files = sorted(path for name in _COMPUTES for path in (code / name).rglob("*") if path.is_file())
    return _digest(
        f"{path.relative_to(code)} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in files
        if "__pycache__" not in path.parts
    )


def can_change_results(path: str) -> bool:
    """Whether a file of a checkout may be code or data of a run: no documentation, test, or result of a benchmark."""
    pure = PurePath(path)
    result = "benchmarks" in pure.parts and pure.suffix == ".json"
    return not (result or pure.suffix in (".md", ".rst") or _NO_CODE.intersection(pure.parts[:-1]))


def _tracked(folder: Path) -> Iterator[str]:
    """A line with content and path for each committed or staged file that can change a result."""
    for line in (_git(folder, "ls-files", "-s") or "").splitlines():
        if can_change_results(line.partition("\t")[2]):
            yield line


def _changed(diff: str) -> Iterator[str]:
    """The parts of a diff that are of files that can change a result."""
    for part in re.split(r"^(?=diff --git )", diff, flags=re.MULTILINE):
        if part and can_change_results(part.splitlines()[0].rpartition(" b/")[2]):
            yield part


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode(errors="replace")).hexdigest()[:12]


def _git(folder: Path, *words: str) -> str | None:
    """What git prints; None when it fails or hangs, which must not keep a run from training."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, errors="replace", timeout=_ANSWER_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
