"""`runner bundle`: an experiment as one archive without checkpoints, which `analysis summarize` opens elsewhere."""

from __future__ import annotations

import os
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.errors import CommandFailed, UserError
from runner.files import open_file, refuse_links, replacing
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir, RunDir

_EXPERIMENT = ExperimentDir(Path())
_RUN = RunDir(Path())
# What only its owner may read, what a living process means by it, and folders that are large and can be made anew
_FILES = {_RUN.private.name, _RUN.claim.name, _RUN.reserve.name, _EXPERIMENT.submit_lock.name}
_FOLDERS = {_RUN.output.name, _EXPERIMENT.code.name, _EXPERIMENT.slurm_logs(1).name}


@dataclass(frozen=True)
class Bundle:
    """What was packed."""

    files: int
    unreadable: int  # what is no regular file, or somebody else's, and was left out
    bytes: int  # of the archive


def bundle(directory: ExperimentDir, archive: Path) -> Bundle:
    """Write `archive` (.tar.gz): regular files alone, nothing behind a link.

    UserError where it exists or would lie inside the experiment; CommandFailed where it cannot be written.
    """
    manifest.read(directory)
    refuse_links(*directory.folders)
    if archive.exists() or archive.absolute().is_relative_to(directory.path.absolute()):
        raise UserError(
            f"{archive} {'exists' if archive.exists() else 'lies inside the experiment'}",
            next_command="runner bundle EXPERIMENT --output ANOTHER.tar.gz",
        )
    try:
        with replacing(archive) as half, tarfile.open(half, "w:gz", compresslevel=6) as tar:
            names = {path: f"{directory.path.name}/{path.relative_to(directory.path)}" for path in _files(directory)}
            packed = Counter(_add(tar, path, name) for path, name in names.items())
    except OSError as error:
        what = f"{error.filename or archive}: {error.strerror or error}"
        raise CommandFailed(f"{what}; no archive was written") from None
    return Bundle(packed[True], packed[False], archive.stat().st_size)


def _files(directory: ExperimentDir) -> Iterator[Path]:
    """What is packed, in the order of the names, without checkpoints and half-written (hidden) files."""
    for folder, folders, names in os.walk(directory.path):
        folders[:] = sorted(set(folders) - _FOLDERS)
        for name in sorted(set(names) - _FILES):
            if not name.startswith(".") and not name.endswith(_RUN.last_checkpoint.suffix):
                yield Path(folder, name)


def _add(tar: tarfile.TarFile, path: Path, name: str) -> bool:
    """Add a file as it is at this moment; False for what cannot be read or is no regular file."""
    try:
        file = open_file(path)
    except OSError:
        return False
    with file:
        status = os.fstat(file.fileno())
        entry = tarfile.TarInfo(name)
        entry.size, entry.mtime = status.st_size, int(status.st_mtime)
        tar.addfile(entry, file)
    return True
