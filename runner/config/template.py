"""Texts with `{name}` in them: which names, and what they become."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from string import Formatter
from typing import Any

_NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*", re.ASCII)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"model": {"hidden": 8}}` as `{"model": …, "model.hidden": 8}`: everything that a template may name."""
    names: dict[str, Any] = {}
    for key, value in values.items():
        names[f"{prefix}{key}"] = value
        if isinstance(value, Mapping):
            names |= flat(value, f"{prefix}{key}.")
    return names


def names_in(template: Any) -> list[str]:
    """The names in a text, or in all texts of a list or mapping; ValueError for a brace that begins no name."""
    if isinstance(template, str):
        return [name for _, name in parts(template) if name is not None]
    if isinstance(template, Mapping):
        return [name for item in template.values() for name in names_in(item)]
    return [name for item in template for name in names_in(item)] if isinstance(template, list | tuple) else []


def fill(template: str, values: Mapping[str, Any], quote: Callable[[str], str] = str) -> str:
    """`template` with every name replaced by its value as text, which goes through `quote`."""
    return "".join(
        literal + ("" if name is None else quote(as_text(values[name]))) for literal, name in parts(template)
    )


def fill_all(template: Any, values: Mapping[str, Any]) -> Any:
    """The same in lists and mappings; a text that is one name alone becomes the value itself, with its type."""
    if isinstance(template, str):
        pieces = list(parts(template))
        alone = len(pieces) == 1 and pieces[0][0] == "" and pieces[0][1] is not None
        return values[str(pieces[0][1])] if alone else fill(template, values)
    if isinstance(template, Mapping):
        return {key: fill_all(item, values) for key, item in template.items()}
    return [fill_all(item, values) for item in template] if isinstance(template, list | tuple) else template


def words_of(template: str | list[str]) -> list[str]:
    """The words of a command line, not filled yet; text is split at blanks. ValueError for an open quote."""
    return shlex.split(template) if isinstance(template, str) else template


def as_text(value: Any) -> str:
    """A value as an argument of a command: `true`, `null`, `2,3`; mappings as JSON."""
    if isinstance(value, list | tuple):
        return ",".join(map(as_text, value))
    return value if isinstance(value, str) else json.dumps(value)


def parts(template: str) -> Iterator[tuple[str, str | None]]:
    """(literal, name behind it); `{{` and `}}` are braces."""
    try:
        for literal, name, spec, conversion in Formatter().parse(template):
            if name is not None and (spec or conversion or not _NAME.fullmatch(name)):
                raise ValueError(f"{{{name}}} is no name")
            yield literal, name
    except ValueError as error:
        raise ValueError(f"{template!r}: {error}; names are {{name}}, a brace itself is {{{{ or }}}}") from None
