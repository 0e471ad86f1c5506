"""Which code a run was made with, from its provenance.json. Free of torch and pandas."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

SHORT = 7  # characters of a commit or a digest
COPY = re.compile(r"[0-9a-f]{12}")  # a submission's copy is named by the digest of its files


def code_version(provenance: Mapping[str, Any], *, user_code: bool = True) -> str | None:
    """What names the code that a run was made with: `sources DIGEST` of what can change a result.

    Runs of older versions have `copy DIGEST` of a submission's copy, or `commit ID` with uncommitted changes.
    user_code: whether the task runs code of the user's. The script of a command and what lies beside it count too.
    None where nothing names it.
    """
    parts = [name for key in ("code", "user_code")[: 1 + user_code] if (name := _checkout_name(provenance.get(key)))]
    script = provenance.get("script")
    if isinstance(script, Mapping) and isinstance(script.get("digest"), str):
        parts.append(f"script {script['digest']}")
    return " and ".join(parts) or None


def _checkout_name(checkout: Any) -> str | None:
    if not isinstance(checkout, Mapping):
        return None
    commit, changes, diff, path = (checkout.get(key) for key in ("commit", "changes", "diff", "path"))
    digest = checkout.get("digest")
    if isinstance(digest, str) and COPY.fullmatch(digest):
        return f"sources {digest}"
    folder = PurePath(path) if isinstance(path, str) else PurePath()
    if folder.parent.name == "code" and COPY.fullmatch(folder.name):
        return f"copy {folder.name}"
    if not isinstance(commit, str) or not commit:
        return None
    if isinstance(diff, str) and diff:  # written before the changes themselves became private
        changes = hashlib.sha256(diff.encode()).hexdigest()
    return f"commit {commit}+{changes[:4]}" if isinstance(changes, str) and changes else f"commit {commit}"


def same_code(one: str, other: str | None) -> bool:
    """Whether two versions are equal, or cannot be compared because they are named in different ways."""
    return one == other or other is None or one.split(" ")[0] != other.split(" ")[0]


def shown_code(version: str) -> str:
    """A version as a message shows it: `1a2b3c4`, with `+d3f0` for uncommitted changes."""
    words = [word for word in version.split(" ") if word not in ("sources", "copy", "commit", "script", "and")]
    return "/".join(f"{head[:SHORT]}{plus}{tail}" for head, plus, tail in (word.partition("+") for word in words))
