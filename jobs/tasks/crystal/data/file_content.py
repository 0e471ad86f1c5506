"""The bytes of a data file, where it is one and not larger than data sets are."""

from __future__ import annotations

import gzip
import stat
import zlib
from pathlib import Path

from runner.errors import UserError

TABLE = 4 << 30  # bytes; the largest of JARVIS has one and a half
STRUCTURE = 64 << 20  # bytes
_SMALL = 256 << 20  # bytes that a packed file of any size may unpack to
_DENSEST = 100  # unpacked bytes in a packed one; JSON of crystals has about ten


def content(path: Path, most: int = TABLE) -> bytes:
    """What `path` holds, unpacked where its name ends in `.gz`.

    Raises UserError where it cannot be read, is no regular file, or has more than `most` bytes.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a FIFO would be waited for without end
            raise UserError(f"{path} is no regular file")
        if status.st_size > most:
            raise UserError(f"{path} has {_shown(status.st_size)}; allowed: at most {_shown(most)}")
        with path.open("rb") as file:
            if not path.name.lower().endswith(".gz"):
                return file.read()
            most = min(most, max(_SMALL, _DENSEST * status.st_size))
            with gzip.open(file) as unpacked:
                data = unpacked.read(most + 1)
    except (OSError, EOFError, ValueError) as error:  # ValueError: a name that no file can have
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    except zlib.error as error:
        raise UserError(f"cannot read {path}: damaged ({error})") from error
    if len(data) > most:
        raise UserError(f"{path} unpacks to more than {_shown(most)}")
    return data


def _shown(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
