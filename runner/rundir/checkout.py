"""Which code a folder holds, now or when it was submitted: its commit and changes, and what a module of it needs."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from runner.files import read_mapping, write_json
from runner.masking import masked

PINNED = "checkout.json"  # in a snapshot: the record of the folders that it was copied from
PRIVATE = "private.json"  # in a snapshot: their uncommitted changes, for its owner alone
_DIFF_BYTES = 1 << 20
_ANSWER_S = 20
_COMPUTES = ("jobs", "models")  # the packages of ours that a run computes with
_NO_CODE = {"doc", "docs", "test", "tests"}  # folders whose files cannot change a result


@dataclass(frozen=True)
class Checkouts:
    """Our code and the user's."""

    record: Mapping[str, Any]  # {code, user_code}: {path, commit, changes, digest of what counts}, or None
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
            digest = _digest([*_tracked(folder), *_changed(diff)]) if commit else None
            digest = package_digest(folder) if name == "code" else digest
            record[name] = {"path": str(folder), "commit": commit, "changes": changes, "digest": digest}
            diffs |= {name: masked(diff)} if diff else {}
    return Checkouts(record, diffs)


def _commit_and_diff(folder: Path) -> tuple[str | None, str]:
    """Nothing where `folder` is not the top of a checkout: inside another repository it has no commit of its own."""
    if not (folder / ".git").exists() or shutil.which("git") is None:
        return None, ""
    diff = _git(folder, "diff", "HEAD") or ""
    if len(diff) > _DIFF_BYTES:
        diff = diff[:_DIFF_BYTES] + f"\n… cut; {len(diff)} characters in all\n"
    return _git(folder, "rev-parse", "HEAD"), diff


def package_digest(code: Path) -> str | None:
    """What names the code below `code` that can change a result, whatever is committed beside it."""
    files = sorted(path for name in _COMPUTES for path in (code / name).rglob("*") if path.is_file())
    lines = (
        f"{path.relative_to(code)} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in files
        if "__pycache__" not in path.parts
    )
    return _digest(lines) if files else None


def can_change_results(path: str) -> bool:
    """Whether a file of a checkout may be code or data of a run: no documentation, test, or result of a benchmark."""
    pure = PurePath(path)
    result = "benchmarks" in pure.parts and pure.suffix == ".json"
    return not (result or pure.suffix in (".md", ".rst") or _NO_CODE.intersection(pure.parts[:-1]))


def _tracked(folder: Path) -> Iterator[str]:
    """A line with content and path for each committed or staged file that can change a result."""
    lines = (_git(folder, "ls-files", "-s") or "").splitlines()
    return (line for line in lines if can_change_results(line.partition("\t")[2]))


def _changed(diff: str) -> Iterator[str]:
    """The parts of a diff that are of files that can change a result."""
    parts = re.split(r"^(?=diff --git )", diff, flags=re.MULTILINE)
    return (part for part in parts if part and can_change_results(part.splitlines()[0].rpartition(" b/")[2]))


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


LEFT_OUT = ("__pycache__", "starters")


def code_of(module: str, folder: Path, without: Collection[str] = ()) -> Iterator[tuple[str, Path]]:
    """Name below `folder` → file, of `module` and of every module and package in `folder` that it imports.

    None where `module` is not there: an installed package is no code that a person is just writing. Packages are taken
    whole. without: top-level names that are left out.
    """
    waiting, seen = [module.partition(".")[0]], set(without)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        package, single = folder / name, folder / f"{name}.py"
        files = [(single.name, single)] if single.is_file() else []
        if any(package.glob("*.py")):  # else a folder of data that is called like an installed package
            files = [*files_of(package)]
        yield from files
        waiting += [other for _, path in files if path.suffix == ".py" for other in _imports(path)]


def _imports(path: Path) -> set[str]:
    """The top-level names that a file imports; none where it is no Python that can be read."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # the run will say so
        return set()
    names = [a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names]
    names += [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module and not n.level]
    return {name.partition(".")[0] for name in names}


def files_of(package: Path) -> Iterator[tuple[str, Path]]:
    """Name below the folder that holds `package` → every file of it."""
    for folder, names, files in os.walk(package):
        names[:] = sorted(name for name in names if name not in LEFT_OUT)
        for name in sorted(files):
            path = Path(folder) / name
            yield str(path.relative_to(package.parent)), path
