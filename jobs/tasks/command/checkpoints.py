"""The checkpoint that a resumed command needs: a file or folder, or the newest of those that a pattern means."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from glob import escape
from pathlib import Path
from typing import Any

from runner.config.template import fill
from runner.files import open_file

_ARCHIVES = (".pt", ".pth", ".ckpt", ".npz")  # which a program has begun to write where they are empty


def newest_checkpoint(folder: Path, name: str, values: Mapping[str, Any]) -> Path | None:
    """The whole one with the largest numbers in its name, the latest where they are equal; None where there is none."""
    present = sorted(_present(folder, name, values), key=lambda path: (_numbers(path), path.stat().st_mtime_ns))
    return next((path for path in reversed(present) if not _is_torn(path)), None)


def half_written(folder: Path, name: str, values: Mapping[str, Any]) -> list[Path]:
    """What a program that ends now would leave torn: checkpoints, and files beside them with the same ending."""
    beside = {other for path in _present(folder, name, values) for other in path.parent.glob(f"*{path.suffix}")}
    return [path for path in sorted(beside) if _is_torn(path)]


def _present(folder: Path, name: str, values: Mapping[str, Any]) -> Iterator[Path]:
    return (path for path in folder.glob(fill(name, values, escape)) if path.exists())


def _is_torn(path: Path) -> bool:
    """Whether it, or a file in it, is an archive as torch and NumPy write them, without its end."""
    files = path.rglob("*") if path.is_dir() else [path]
    return any(_has_no_end(file) for file in files if file.is_file())


def _has_no_end(path: Path) -> bool:
    with open_file(path, links=True) as file:
        begun = file.read(4) == b"PK\3\4" or (path.suffix in _ARCHIVES and path.stat().st_size == 0)
        return begun and not zipfile.is_zipfile(file)


def epoch_of(checkpoint: Path) -> int | None:
    """The epoch that its name says, as the command counts: of `epoch=3-step=400` the 3, else the last number."""
    named = re.search(r"epoch[=_-]?(\d+)", checkpoint.name, re.IGNORECASE)
    numbers = [int(named[1])] if named else _numbers(checkpoint)
    return numbers[-1] if numbers else None


def _numbers(path: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", path.name)]
