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
    name, *rest = path
    own = dict(section) if isinstance(section, dict) else {}
    own[name] = with_value(own.get(name), rest, value) if rest else value
    return own
