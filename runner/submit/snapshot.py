"""The code that a submission runs: copied, so that an array that waits for days runs what it was submitted with."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from runner.rundir.checkout import checkouts, code_of, files_of
from runner.rundir.layout import ExperimentDir

PACKAGES = ("runner", "jobs", "models", "analysis")


def take(directory: ExperimentDir, task: str, code_path: Path, own: Mapping[str, Path] | None = None) -> Path:
    """Copy our packages, and where `task` is `package.module:Class` the user's, below the experiment; the copy's path.

    own: further files of the user's, by their name in the copy.

    The commits and uncommitted changes of both lie in it. Equal code is copied once. Files are written beside and
    renamed, so two submissions at once do no harm.
    """
    sources = {**dict(_sources(task, code_path)), **(own or {})}
    versions = checkouts(_folder_of("runner").parent, code_path)
    digest = hashlib.sha256(json.dumps(versions.record).encode())
    for name, path in sorted(sources.items()):
        digest.update(f"{name}\n".encode() + path.read_bytes())
    target = directory.code.absolute() / digest.hexdigest()[:12]
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    for name, path in sources.items():
        (beside / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, beside / name)  # a script may be executable
    versions.write(beside)
    beside.chmod(0o755)
    try:
        os.rename(beside, target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(beside)  # another submission was faster
    return target


def _sources(task: str, code_path: Path) -> Iterator[tuple[str, Path]]:
    """Name below the snapshot → file."""
    for package in PACKAGES:
        yield from files_of(_folder_of(package))
    if ":" in task:
        yield from code_of(task.partition(":")[0], code_path, without=PACKAGES)


def _folder_of(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent
