"""The code that a submission runs: copied, so that an array that waits for days runs what it was submitted with."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from modulefinder import ModuleFinder
from pathlib import Path

from runner.rundir.checkout import checkouts
from runner.rundir.layout import ExperimentDir

PACKAGES = ("runner", "jobs", "models", "analysis")
LEFT_OUT = ("__pycache__", "starters")


def take(directory: ExperimentDir, task: str, code_path: Path) -> Path:
    """Copy our packages, and where `task` is `package.module:Class` the user's, below the experiment; the copy's path.

    The commits and uncommitted changes of both lie in it. Equal code is copied once. Files are written beside and
    renamed, so two submissions at once do no harm.
    """
    sources = dict(_sources(task, code_path))
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
        shutil.copyfile(path, beside / name)
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
        for name in sorted(_imported(task.partition(":")[0], code_path)):
            if (folder := code_path / name).is_dir():
                yield from _files(folder)
            elif (module := code_path / f"{name}.py").is_file():
                yield module.name, module


def _imported(module: str, code_path: Path) -> set[str]:
    """The top-level packages and modules in `code_path` that `module` imports, itself and indirect ones among them.

    None where `module` is not there: an installed package is no code that a person is just writing.
    """
    first = code_path / module.partition(".")[0]
    if not (first.is_dir() or first.with_name(f"{first.name}.py").is_file()):
        return set()
    finder = ModuleFinder([str(code_path)])
    finder.import_hook(module)
    return {name.partition(".")[0] for name in finder.modules} - set(PACKAGES)


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
