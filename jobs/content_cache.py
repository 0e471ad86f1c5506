"""The cache: results that are computed once and read by every run, in directories named by their content.

A cache directory is written beside its place and renamed, then never changed: two builders at once both succeed and
one result stays. What is computed for each of many things (crystals, texts) lies in *shards*: directories with a row
for each thing and the things' keys, so that a later run computes only what no shard has. Each build leaves a line in
`builds.jsonl`, which shows what was computed and what was found.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.log import say
from runner.errors import CommandFailed
from runner.files import append_json, replacing
from runner.rundir.cache_root import make_folder

BUILDS = "builds.jsonl"  # under the cache root


def content_key(*parts: Any, length: int = 16) -> str:
    """The first hex digits of the SHA-256 of bytes, arrays (dtype, shape, values) and JSON values."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"array {part.dtype.str} {part.shape}\n".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        elif isinstance(part, bytes):
            digest.update(b"bytes %d\n" % len(part) + part)
        else:
            digest.update(b"json " + json.dumps(part, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    return digest.hexdigest()[:length]


def publish(directory: Path, root: Path, kind: str, items: int, fill: Callable[[Path], None]) -> Path:
    """Make `directory` (below `root`) hold what `fill` writes; leave it alone when it is there already.

    `kind` and `items` (how many things are computed) go to the log of builds. A directory that cannot be written
    raises CommandFailed.
    """
    if directory.exists():
        return directory
    start = time.perf_counter()
    try:
        refuse_read_only(os.environ)
        make_folder(root)  # a cache that a group shares is made by hand
        directory.parent.mkdir(parents=True, exist_ok=True)
        folder = TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}.", suffix=".part")
    except OSError as error:
        raise unwritable(root, f"{kind} ({items} to compute)", error) from error
    with folder as beside:  # which is removed unless it takes the name
        fill(Path(beside))
        _sync(Path(beside))
        _rename(Path(beside), directory)
    record_build(root, kind, directory, items, time.perf_counter() - start)
    return directory


def publish_shard(folder: Path, root: Path, kind: str, keys: Sequence[str], fill: Callable[[Path], None]) -> Path:
    """Add a directory of arrays with a row for each of `keys` (32 hex digits each) to the shards of `folder`."""

    def fill_with_keys(directory: Path) -> None:
        fill(directory)
        save_arrays(directory, {"keys": np.array(keys, dtype="S32")})

    return publish(folder / f"shard-{content_key(list(keys))}", root, kind, len(keys), fill_with_keys)


def find_in_shards(keys: Iterable[str], folder: Path) -> dict[str, tuple[Path, int]]:
    """The shard of `folder`, and the row in it, of each of `keys` that some shard holds."""
    wanted = set(keys)
    return {
        key: (shard, row)
        for shard in sorted(folder.glob("shard-*"))
        for row, key in enumerate(_mapped(shard / "keys.npy").astype(str).tolist())
        if key in wanted
    }


def by_shard(places: Iterable[tuple[Path, int] | None]) -> dict[Path, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """For each shard, which of `places` lie in it and in which of its rows; None lies nowhere."""
    shards: dict[Path, list[tuple[int, int]]] = {}
    for number, place in enumerate(places):
        if place is not None:
            shards.setdefault(place[0], []).append((number, place[1]))
    return {shard: (np.array(pairs)[:, 0], np.array(pairs)[:, 1]) for shard, pairs in shards.items()}


def record_build(root: Path, kind: str, path: Path, items: int, seconds: float) -> None:
    """Add a line to the log of builds: `items` things were computed and lie in `path`, below `root`."""
    place = str(path.relative_to(root))
    line = {"time": time.time(), "kind": kind, "path": place, "items": items, "seconds": round(seconds, 3)}
    append_json(root / BUILDS, line)


def refuse_read_only(environment: Mapping[str, str]) -> None:
    """Raise OSError in an array that a prepare job went before: what runs share is computed there, and once."""
    if environment.get("RUNNER_CACHE_READ_ONLY") == "1":
        raise OSError(errno.EROFS, "it is read-only after the prepare job, which has not filled in this")


def unwritable(root: Path, what: str, error: OSError) -> CommandFailed:
    """The error for a cache that lacks `what` and cannot be written."""
    return CommandFailed(
        f"the cache {root} lacks {what} and cannot be written: {error}",
        next_command="runner prepare CONFIG on a node that may write there, or set RUNNER_CACHE",
    )


def save_arrays(directory: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write each array as `name.npy`."""
    for name, array in arrays.items():
        np.save(directory / f"{name}.npy", array, allow_pickle=False)


def load_array(directory: Path, name: str) -> NDArray[Any]:
    """Read `name.npy`, memory-mapped and read-only; pages are shared among the processes of a node.

    Where RUNNER_SCRATCH names a directory of the node, the file is copied there once and read from the copy.
    """
    return _mapped(_near(directory / f"{name}.npy", os.environ))


def _mapped(path: Path) -> NDArray[Any]:
    return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]


def _near(path: Path, environment: Mapping[str, str]) -> Path:
    """The copy of `path` on this node, or `path` itself where there is no scratch or no room in it.

    Cache files never change, so the place of one stands for its content; of several processes each may copy it, and
    one copy stays.
    """
    scratch = Path(os.path.expandvars(environment.get("RUNNER_SCRATCH", "")))
    if not scratch.is_absolute():  # none, or a variable that this node does not have
        return path
    copy = scratch / "runner-cache" / f"{content_key(str(path.parent.absolute()))}-{path.name}"
    if not copy.exists():
        try:
            with replacing(copy) as beside:
                shutil.copyfile(path, beside)
        except OSError as error:
            say(f"{path} is not copied to {scratch}: {error}")
            return path
    return copy


def _sync(directory: Path) -> None:
    directory.chmod(0o755)
    for file in directory.iterdir():
        with open(file, "rb") as written:
            os.fsync(written.fileno())


def _rename(beside: Path, directory: Path) -> None:
    """Rename; a builder that was faster leaves a non-empty directory there, which holds the same and stays."""
    try:
        os.rename(beside, directory)
    except OSError:
        if not directory.is_dir():
            raise
