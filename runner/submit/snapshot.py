"""The code that a submission runs: copied, so that an array that waits for days runs what it was submitted with."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from importlib.util import find_spec
from modulefinder import ModuleFinder
from pathlib import Path

from runner.rundir.checkout import checkouts
from runner.rundir.layout import ExperimentDir

PACKAGES = ("runner", "jobs", "models", "analysis")
LEFT_OUT = ("__pycache__", "starters")


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
        yield from _files(_folder_of(package))
    if ":" in task:
        yield from code_of(task.partition(":")[0], code_path, without=PACKAGES)


def code_of(module: str, folder: Path, without: Collection[str] = ()) -> Iterator[tuple[str, Path]]:
    """Name below `folder` → file, of `module` and of every module and package in `folder` that it imports."""
    for name in sorted(_imported(module, folder) - set(without)):
        if (package := folder / name).is_dir():
            yield from _files(package)
        elif (path := folder / f"{name}.py").is_file():
            yield path.name, path


def _imported(module: str, code_path: Path) -> set[str]:
    """The top-level packages and modules in `code_path` that `module` imports, itself and indirect ones among them.

    None where `module` is not there: an installed package is no code that a person is just writing.
    """
    first = code_path / module.partition(".")[0]
    if not (first.is_dir() or first.with_name(f"{first.name}.py").is_file()):
        return set()
    finder = ModuleFinder([str(code_path)])
    finder.import_hook(module)
    return {name.partition(".")[0] for name in finder.modules}


def _folder_of(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"our package {package!r} cannot be found")
    return Path(spec.origin).parent


def _files(package: Path) -> Iterator[tuple[str, Path]]:
    for folder, names, files in os.walk(package):
        names[:] = sorted(name for name in names if name not in LEFT_OUT)
        for name in sorted(files):
            path = Path(folder) / name
            yield str(path.relative_to(package.parent)), path
