"""Pickles of NumPy arrays and plain values, read without ever running what a pickle asks to be run.

A pickle may name any function of any module and call it, and may overwrite attributes of what it gets. Here four names
are known, which stand for functions of this module that rebuild arrays; nothing is imported for a pickle, and its
only object states are those of plain arrays, because NumPy believes a forged dtype (a float64 of one byte, raw bytes
as Python objects) and would follow it into foreign memory.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy._core import multiarray
from numpy.typing import NDArray

from runner.errors import UserError

_CODE = re.compile(r"[|<>=]?(?:[biuf]\d+|[SU]\d+|O8|\?)")  # how a pickle names a plain dtype
SMALL = 256 << 20  # bytes of a file; where memory does not suffice for less, a length in it is wrong
_ARRAY = "ndarray"  # stands for the class, which a pickle hands on but may not call


class _Refused(pickle.UnpicklingError):
    """A pickle asks for something that is not admitted."""


def _dtype(code: str, *_: Any) -> np.dtype[Any]:
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise _Refused(f"an array of type {code!r}")
    return np.dtype(code, False, True)  # a copy, because its byte order is set afterwards


def _reconstruct(kind: Any, *_: Any) -> NDArray[Any]:
    if kind is not _ARRAY:
        raise _Refused("a subclass of ndarray")
    empty: Any = multiarray._reconstruct(np.ndarray, (0,), b"b")
    return empty  # type: ignore[no-any-return]


def _scalar(dtype: np.dtype[Any], data: bytes) -> Any:
    return np.frombuffer(data, dtype, 1)[0]


def _from_buffer(data: Any, dtype: np.dtype[Any], shape: tuple[int, ...], order: Any) -> NDArray[Any]:
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _latin1(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise _Refused(f"bytes in the encoding {encoding!r}")
    return text.encode("latin-1")


ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _ARRAY,
    ("numpy", "dtype"): _dtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
    ("_codecs", "encode"): _latin1,  # how the oldest protocols write bytes
}


class ArrayUnpickler(pickle._Unpickler):
    """The unpickler in Python, whose steps can be overridden one by one; arrays are single steps, so it is fast."""

    stack: list[Any]

    def find_class(self, module: str, name: str) -> Any:
        try:
            return ADMITTED[module, name]
        except KeyError:
            raise _Refused(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused("an object that lies outside the file")

    def load_build(self) -> None:
        """Set the state of an array, or the byte order of a dtype."""
        state, instance = self.stack.pop(), self.stack[-1]
        if isinstance(instance, np.ndarray):
            if not isinstance(state[2], np.dtype):
                raise _Refused("an array of a forged type")
        elif not isinstance(instance, np.dtype) or not _is_plain(state, instance):
            raise _Refused(f"a {type(instance).__name__} with a state of its own")
        instance.__setstate__(state)

    dispatch = {**pickle._Unpickler.dispatch, pickle.BUILD[0]: load_build}  # type: ignore[dict-item]


def _is_plain(state: Any, dtype: np.dtype[Any]) -> bool:
    """Whether the state of a dtype says nothing that its code did not, but for the byte order."""
    if not isinstance(state, tuple) or len(state) != 8:
        return False
    version, order, subarray, names, fields, size, alignment, flags = state
    return (
        (version, subarray, names, fields, flags) == (3, None, None, None, dtype.flags)
        and order in ("<", ">", "|", "=")
        and size in (-1, dtype.itemsize)
        and alignment in (-1, dtype.alignment)
    )


def read_arrays(path: Path) -> Any:
    """What the pickle at `path` holds; UserError where it is missing, damaged, or asks for anything but arrays."""
    try:
        with path.open("rb") as file:
            return _load(file, path)
    except OSError as error:
        raise UserError(f"data.dataset: {path} cannot be read: {error.strerror}") from error


def _load(file: BinaryIO, path: Path) -> Any:
    try:
        return ArrayUnpickler(file, encoding="latin1").load()  # latin1: what Python 2 wrote
    except _Refused as error:
        raise UserError(
            f"data.dataset: {path} asks to load {error}, and nothing of it was run; only plain NumPy arrays and "
            "scalars, texts, numbers, lists and dicts are read: write the file again with those"
        ) from None
    except OSError:
        raise
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to mean
        if isinstance(error, MemoryError) and path.stat().st_size > SMALL:
            raise
        reason = str(error).strip() or type(error).__name__
        raise UserError(f"data.dataset: {path} is not a whole pickle: {reason[:200]}") from error
