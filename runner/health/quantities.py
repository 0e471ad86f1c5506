"""What the rules act on: numbers by name, of one layer in one epoch, whoever logged them. Free of torch and pandas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.files import as_number

Quantities = Mapping[str, Any]
LATE = "late"  # the layer name of a late fusion; middle fusions are named by their ALIGNN layer


def quantity(values: Quantities, name: str) -> float | None:
    """The finite number logged as `name`, or None."""
    return as_number(values.get(name))
