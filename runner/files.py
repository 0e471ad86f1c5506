"""Reading and writing files so that a reader never meets a half-written one."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes the name of `path` when the block ends without an error.

    The content is flushed to disk before the rename, so that after a crash either the old or the new content stands.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(descriptor)
    beside = Path(name)
    try:
        yield beside
        with open(beside, "rb") as written:
            os.fsync(written.fileno())
        beside.chmod(0o666 & ~_UMASK)  # mkstemp makes 0600; files follow the user's umask
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _umask()  # read once: it cannot be read without setting it, and two threads doing so could leave it at 0


def leads_out(path: Path, directory: Path) -> bool:
    """Whether `path` is below `directory` by name and elsewhere by a link, as in a copy that somebody prepared."""
    real = Path(os.path.realpath(path.parent))
    return not real.is_relative_to(os.path.realpath(directory))


def write_text(path: Path, text: str) -> None:
    """Replace the content of `path` in one step."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, *, indent: int | None = 1) -> None:
    """Replace `path` by `value` as JSON; NaN and infinities are refused with ValueError."""
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any | None:
    """The JSON value in `path`, or None when the file is missing, truncated or not JSON."""
    try:
        return json.loads(_content(path).decode())
    except (ValueError, RecursionError):  # the last: brackets without end
        return None


# No file is there: nothing, a directory, a link that leads to itself
_NO_FILE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}


def _content(path: Path | str) -> bytes:
    """The bytes of `path`; none where no file is there."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except OSError as error:
        if error.errno in _NO_FILE:
            return b""
        raise


LARGEST = 1e300  # no number of a run is larger; an integer beyond the floats cannot be converted


def as_number(value: Any) -> float | None:
    """`value` where it is a finite number; None for what a damaged file may hold in its place."""
    if value.__class__ is float:  # nearly always; a summary asks for millions
        return float(value) if abs(value) < LARGEST else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < LARGEST:
        return None
    return float(value)


def read_mapping(path: Path) -> dict[str, Any]:
    """The JSON object in `path`, or an empty one when there is none that can be read."""
    found = read_json(path)
    return found if isinstance(found, dict) else {}


def linked(source: Path, name: Path) -> bool:
    """Give `source` a second name, of which one process gets each, on NFS too; False when that name is taken."""
    try:
        os.link(source, name)
    except FileExistsError:
        # NFS may repeat a call whose answer was lost; the count of names tells whether the first one worked
        return source.stat().st_nlink == 2
    return True


def append_line(path: Path, line: str) -> None:
    """Append one line with a single write; a half line left by a crash is first closed with a newline.

    A line that another process is writing looks like a half one: an empty line follows it then, which readers skip.
    """
    data = line.encode() + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            data = b"\n" + data
        while data:  # a nearly full disk may accept only a part
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)


def append_json(path: Path, value: Any) -> None:
    """Append `value` as one line of JSON; NaN and infinities are refused with ValueError."""
    append_line(path, json.dumps(value, allow_nan=False))


def read_json_lines(path: Path | str) -> list[dict[str, Any]]:
    """The JSON objects in `path`, one a line; half lines and foreign lines are left out, a missing file is empty."""
    records = []
    for line in _content(path).splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            records.append(record)
    return records
