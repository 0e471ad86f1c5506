"""Records that one stage writes and another reads: frozen dataclasses that are read from files in any state."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, ClassVar, Self

from runner.files import as_count, as_number, read_json

JobId = str  # as Slurm writes it: 123 or 123_4; a number in files of older versions
Reader = Callable[[Any], Any]  # a value of a file → the same with its type; None where it is damaged


def finite_items(value: Any) -> dict[str, float]:
    """The finite numbers of a mapping, by name; none where it is no mapping."""
    if not isinstance(value, Mapping):
        return {}
    return {str(name): number for name, item in value.items() if (number := as_number(item)) is not None}


def _layers(value: Any) -> dict[str, dict[str, float]]:
    """Layer → its quantities; none where it is no mapping."""
    return {str(layer): finite_items(values) for layer, values in value.items()} if isinstance(value, dict) else {}


def _texts(value: Any) -> list[str] | None:
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else None


_READERS: dict[str, Reader] = {  # a field's type as it is written, without `| None`
    "float": as_number,
    "int": lambda value: value if value.__class__ is int and -(2**53) < value < 2**53 else as_count(value),
    "str": lambda value: value if value.__class__ is str else None,
    "JobId": lambda value: str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else None,
    "bool": lambda value: value if isinstance(value, bool) else None,
    "list[str]": _texts,
    "dict[str, Any]": lambda value: value if isinstance(value, dict) else None,
    "dict[str, float]": finite_items,
    "dict[str, dict[str, float]]": _layers,
}


class Record:
    """Base of the records: a field that is damaged, or that no version of ours writes, is left out."""

    readers: ClassVar[Mapping[str, Reader]] = {}  # field → reader, where its type is one of the record's own

    @classmethod
    def of(cls, values: object, **known: Any) -> Self | None:
        """The record that a JSON object holds; None where it is none, or a field without a default is damaged.

        known: fields that are not in `values`.
        """
        if not isinstance(values, dict):
            return None
        readers, needed, usual = _fields(cls)  # type: ignore[arg-type]
        content = usual | known
        for name, value in values.items():
            if value is not None and name in readers and (typed := readers[name](value)) is not None:
                content[name] = typed
        if not needed <= content.keys():
            return None
        record = cls.__new__(cls)  # `status` makes ten thousands: __init__ of a frozen class sets field by field
        record.__dict__.update(content)
        return record

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self | None:
        """The record in a JSON file; None where that is missing or truncated. Raises PermissionError."""
        return cls.of(read_json(os.fspath(path)))


@functools.cache
def _fields(cls: type[Record]) -> tuple[dict[str, Reader], frozenset[str], dict[str, Any]]:
    """Field → its reader, the fields without a default, and the defaults, which nobody changes."""
    own, every = cls.readers, fields(cls)  # type: ignore[arg-type]
    readers = {field.name: own.get(field.name) or _READERS[str(field.type).removesuffix(" | None")] for field in every}
    usual = {field.name: field.default for field in every if field.default is not MISSING}
    usual |= {field.name: field.default_factory() for field in every if field.default_factory is not MISSING}
    return readers, frozenset(readers.keys() - usual.keys()), usual
