"""Arrays of an .npz that anybody may have written: nothing is unpickled, and a small file cannot fill the memory."""

from __future__ import annotations

import io
import math
import os
import stat
import zipfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from jobs.node.memory import limit_bytes
from runner.errors import UserError

_PLAIN = "biufUS"  # kinds of dtypes: truth values, numbers, texts, bytes
_DENSEST = 100  # bytes of arrays in a byte of the file; padding compresses well, features do not
_SMALL = 64 << 20  # bytes of arrays that a file of any size may hold
_AT_ONCE = 1 << 20  # bytes of one read; a forged table of contents would ask for gigabytes
_SUFFIX = ".npy"
Value = TypeVar("Value")


@dataclass(frozen=True)
class Header:
    """What an array is, known without reading it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def headers(path: Path, key: str) -> dict[str, Header]:
    """Name → header of every array in the .npz at `path`.

    Raises UserError that begins with the dotted `key` for a file that cannot be read or holds anything but plain
    arrays, and where these claim to be much larger than the file.
    """
    return _opened(path, key, _headers)


def read(path: Path, key: str, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """Those of the arrays called `names` that the .npz at `path` holds.

    Raises UserError as `headers` does, and for more than the memory of this machine.
    """

    def arrays(packed: zipfile.ZipFile) -> dict[str, NDArray[Any]]:
        wanted = {name: header for name, header in _headers(packed).items() if name in names}
        needed = sum(header.nbytes for header in wanted.values())
        memory = min(limit_bytes(os.environ) or math.inf, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        if needed > memory:
            raise _Refused(f"its arrays need {needed / 1e9:,.1f} GB, this machine allows {memory / 1e9:,.1f} GB")
        return {name: _array(packed, name) for name in wanted}

    return _opened(path, key, arrays)


class _Refused(ValueError):
    """Why an .npz is not read."""


class _Bounded(io.FileIO):
    """A file that is read in small pieces."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _AT_ONCE:
            raise _Refused(f"its table of contents claims {size:,} bytes")
        return super().read(size)


def _opened(path: Path, key: str, work: Callable[[zipfile.ZipFile], Value]) -> Value:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a FIFO would wait for ever
            raise UserError(f"{key}: {path} is no regular file")
        with _Bounded(path) as file, zipfile.ZipFile(file) as packed:
            return work(packed)
    except OSError as error:
        raise UserError(f"{key}: {path} cannot be read: {error.strerror or error}") from error
    except UserError:
        raise
    except Exception as error:  # a damaged file raises whatever its bytes happen to mean
        reason = str(error)[:200] or type(error).__name__
        raise UserError(f"{key}: {path} is not an .npz of plain arrays: {reason}") from error


def _headers(packed: zipfile.ZipFile) -> dict[str, Header]:
    arrays = {
        member.filename.removesuffix(_SUFFIX): _header(packed, member)
        for member in packed.infolist()
        if member.filename.endswith(_SUFFIX)
    }
    claimed, size = sum(header.nbytes for header in arrays.values()), os.fstat(packed.fp.fileno()).st_size  # type: ignore[union-attr]
    if claimed > max(_SMALL, _DENSEST * size):
        raise _Refused(
            f"its {size:,} bytes claim to hold {claimed:,} bytes of arrays; if that is right, write it uncompressed "
            "with np.savez"
        )
    return arrays


def _header(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> Header:
    """Of one array; _Refused where it is not plain, or where its size is not that of the bytes that follow."""
    name = member.filename.removesuffix(_SUFFIX)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _Refused(f"{name} is compressed in a way that np.savez does not use")
    with packed.open(member) as file:
        header, start = _parsed(file)
    if header.dtype.hasobject:
        raise _Refused(f"{name} holds Python objects, which only a pickle could give back")
    if header.dtype.kind not in _PLAIN or not header.dtype.itemsize:
        raise _Refused(f"{name} holds values of type {header.dtype}")
    if min(header.shape, default=0) < 0 or header.nbytes != member.file_size - start:
        raise _Refused(f"{name} claims the shape {header.shape}, which its {member.file_size - start:,} bytes are not")
    return header


def _parsed(file: IO[bytes]) -> tuple[Header, int]:
    """The header, and how many bytes stand before the values."""
    parse = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = parse(file)
    return Header(shape, dtype), file.tell()


def _array(packed: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with packed.open(f"{name}{_SUFFIX}") as file:
        return npy.read_array(file, allow_pickle=False)
