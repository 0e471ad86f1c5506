"""What stands at a dotted key of nested mappings, and setting it."""

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
