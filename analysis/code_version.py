"""Which code a run was made with, from its provenance.json. Free of torch and pandas."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

SHORT = 7  # characters of a commit or a digest
COPY = re.compile(r"[0-9a-f]{12}")  # a submission's copy is named by the digest of its files


def code_version(provenance: Mapping[str, Any]) -> str | None:
    """What names the code that a run was made with: `copy DIGEST` of a submission's copy, or `commit ID`.

    Uncommitted changes, the user's own code and a script that ran without a copy count too; None: nothing names it.
    """
    parts = [name for key in ("code", "user_code") if (name := _checkout_name(provenance.get(key)))]
    script = provenance.get("script")
    if isinstance(script, Mapping) and not script.get("pinned") and isinstance(script.get("sha256"), str):
        parts.append(f"script {script['sha256'][:12]}")
    return " and ".join(parts) or None


def _checkout_name(checkout: Any) -> str | None:
    if not isinstance(checkout, Mapping):
        return None
    commit, diff, path = (checkout.get(key) for key in ("commit", "diff", "path"))
    folder = PurePath(path) if isinstance(path, str) else PurePath()
    if folder.parent.name == "code" and COPY.fullmatch(folder.name):
        return f"copy {folder.name}"
    if not isinstance(commit, str) or not commit:
        return None
    changed = f"+{hashlib.sha256(diff.encode()).hexdigest()[:4]}" if isinstance(diff, str) and diff else ""
    return f"commit {commit}{changed}"


def same_code(one: str, other: str | None) -> bool:
    """Whether two versions are equal, or cannot be compared because one is a copy and the other a commit."""
    return one == other or other is None or one.split(" ")[0] != other.split(" ")[0]


def shown_code(version: str) -> str:
    """A version as a message shows it: `1a2b3c4`, with `+d3f0` for uncommitted changes."""
    words = [word for word in version.split(" ") if word not in ("copy", "commit", "script", "and")]
    short = (f"{head[:SHORT]}{plus}{tail}" for head, plus, tail in (word.partition("+") for word in words))
    return "/".join(short)
