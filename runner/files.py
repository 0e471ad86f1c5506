"""Reading and writing files so that a reader never meets a half-written one."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runner.errors import CommandFailed


@contextlib.contextmanager
def replacing(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes the name of `path` when the block ends without an error.

    The content is flushed to disk before the rename, so that after a crash either the old or the new content stands.
    private: readable for its owner alone, from the first byte.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(descriptor)
    beside = Path(name)
    try:
        yield beside
        with open(beside, "rb") as written:
            os.fsync(written.fileno())
        if not private:
            beside.chmod(0o666 & ~_UMASK)  # mkstemp makes 0600; files follow the user's umask
        os.replace(beside, path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        _name_in(error, path)
        raise


def _name_in(error: BaseException, path: Path) -> None:
    """Name the file in an error of a write, which knows its descriptor alone: a full disk, a quota."""
    if isinstance(error, OSError) and error.filename is None:
        error.filename = str(path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _umask()  # read once: it cannot be read without setting it, and two threads doing so could leave it at 0


def leads_out(path: Path, directory: Path) -> bool:
    """Whether `path` is below `directory` by name and elsewhere by a link, as in a copy that somebody prepared."""
    return not Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(directory))


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Replace the content of `path` in one step."""
    with replacing(path, private=private) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, *, indent: int | None = 1, private: bool = False) -> None:
    """Replace `path` by `value` as JSON; NaN and infinities are refused with ValueError."""
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n", private=private)


def read_json(path: Path | str) -> Any | None:
    """The JSON value in `path`, or None when the file is missing, truncated or not JSON."""
    return _parsed(content(path))


def _parsed(data: bytes) -> Any | None:
    try:
        return json.loads(data.decode())
    except (ValueError, RecursionError):  # the last: brackets without end
        return None


# No file that is read: nothing, a directory, a link, a pipe or socket, more than any of our files holds
NO_FILE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.EFBIG}
_REFUSED = NO_FILE - {errno.ENOENT, errno.ENOTDIR}
LARGEST_FILE = 256 << 20  # bytes that are read at once; a log that is followed may be larger
_NAMED: set[str] = set()  # files in whose place something else lay
_NO_REGULAR_FILE = "no regular file: a pipe, a socket or a device"


def open_file(path: Path | str, *, links: bool = False) -> io.FileIO:
    """`path` opened for reading where it is a regular file: never waits for a pipe, never follows a link.

    links: follow one all the same, for files that a person names. Raises OSError, with ENXIO for what is no file.
    """
    return io.FileIO(_descriptor(path, os.O_RDONLY | (0 if links else os.O_NOFOLLOW)), "rb")


def open_to_append(path: Path) -> io.FileIO:
    """`path` opened to append to; made where it is missing. Refuses what `open_file` refuses."""
    return io.FileIO(_descriptor(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW), "ab+")


def _descriptor(path: Path | str, flags: int) -> int:
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        words = {errno.ENXIO: _NO_REGULAR_FILE, errno.ELOOP: "a link, which is not followed"}  # ENXIO: a socket
        raise OSError(error.errno, words.get(error.errno or 0, error.strerror), os.fspath(path)) from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        raise OSError(errno.ENXIO, _NO_REGULAR_FILE, os.fspath(path))
    return descriptor


def open_text(path: Path) -> io.TextIOWrapper:
    """A log of a run, opened for reading as `open_file` does; what is no UTF-8 is replaced."""
    return io.TextIOWrapper(io.BufferedReader(open_file(path)), encoding="utf-8", errors="replace", newline="\n")


def read_bytes(path: Path | str, *, links: bool = False) -> bytes:
    """The content of a regular file. Raises OSError, with EFBIG above LARGEST_FILE."""
    descriptor = _descriptor(path, os.O_RDONLY | (0 if links else os.O_NOFOLLOW))
    try:  # no file object: `status` reads ten thousands
        if (size := os.fstat(descriptor).st_size) > LARGEST_FILE:
            raise OSError(errno.EFBIG, f"{size:,} bytes, more than any file of a run", os.fspath(path))
        data = os.read(descriptor, size)
        while len(data) < size and (more := os.read(descriptor, size - len(data))):
            data += more
        return data
    finally:
        os.close(descriptor)


def content(path: Path | str) -> bytes:
    """The bytes of a file of a run; none where no file is there, and what lies there instead is named on stderr."""
    try:
        return read_bytes(path)
    except OSError as error:
        if error.errno in NO_FILE:
            name_refused(error)
            return b""
        raise


def name_refused(error: OSError) -> None:
    """Say once for each file that something else lies in its place, and is not read."""
    if error.errno in _REFUSED and str(error.filename) not in _NAMED:
        _NAMED.add(str(error.filename))
        print(f"warning: {error.filename} is not read: {error.strerror}", file=sys.stderr, flush=True)


def refuse_links(*folders: Path) -> None:
    """Raise CommandFailed where one of `folders` is a link: what is written below it would leave the experiment."""
    for folder in folders:
        if folder.is_symlink():
            raise CommandFailed(f"{folder} is a link; nothing is written through it. Replace it by a folder")


LARGEST = 1e300  # no number of a run is larger; an integer beyond the floats cannot be converted


def as_number(value: Any) -> float | None:
    """`value` where it is a finite number; None for what a damaged file may hold in its place."""
    if value.__class__ is float:  # nearly always; a summary asks for millions
        return float(value) if abs(value) < LARGEST else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < LARGEST:
        return None
    return float(value)


def as_count(value: Any) -> int | None:
    """`value` as a whole number where it counts something: epochs, attempts, parameters; None beyond exact floats."""
    number = as_number(value)
    return int(number) if number is not None and abs(number) <= 2**53 else None


def read_mapping(path: Path) -> dict[str, Any]:
    """The JSON object in `path`, or an empty one when there is none that can be read."""
    value = read_json(path)
    return value if isinstance(value, dict) else {}


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
    with open_to_append(path) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
                data = b"\n" + data
            while data:  # a nearly full disk may accept only a part
                data = data[os.write(file.fileno(), data) :]
        except OSError as error:
            _name_in(error, path)
            raise


def append_json(path: Path, value: Any) -> None:
    """Append `value` as one line of JSON; NaN and infinities are refused with ValueError."""
    append_line(path, json.dumps(value, allow_nan=False))


def read_json_lines(path: Path | str) -> list[dict[str, Any]]:
    """The JSON objects in `path`, one per line; half lines and foreign lines are left out, a missing file is empty."""
    return [record for record in map(_parsed, content(path).splitlines()) if isinstance(record, dict)]
