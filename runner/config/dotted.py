"""Nested mappings: what stands at a dotted key, setting it, and one merged over another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def at(value: Any, key: str, default: Any = None) -> Any:
    """What stands at the dotted `key` of nested mappings."""
    for part in key.split("."):
        value = value.get(part, default) if isinstance(value, dict) else default
    return value


def with_value(section: Any, path: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy of `section` with `value` at `path`, whose parts are made where they hold no keys.

    What the path does not go through is shared, not copied.
    """
    whole = place = dict(section) if isinstance(section, dict) else {}
    for name in path[:-1]:
        inner = place.get(name)
        place[name] = place = dict(inner) if isinstance(inner, dict) else {}
    place[path[-1]] = value
    return whole


def merge(section: Any, value: Any) -> Any:
    """`value` set over `section`: a mapping key by key, unless its `name` selects another kind; anything else whole."""
    if not (isinstance(section, dict) and isinstance(value, dict)) or selects_another_kind(section, value):
        return value
    return section | {key: merge(section.get(key), item) for key, item in value.items()}


def selects_another_kind(section: dict[str, Any], value: dict[str, Any]) -> bool:
    """Whether the options of `section` belong to another kind than the `name` of `value` says."""
    return "name" in section and "name" in value and section["name"] != value["name"]
