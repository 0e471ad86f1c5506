"""Numbers and axis values as people read them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any


def mean_with_sd(mean: float, sd: float | None) -> str:
    """`0.0941 ± 0.0040`: the sd with two figures, the mean to the same place; without one `0.09410`, with its zeros."""
    if sd is None or not 0 < sd < math.inf:
        return f"{mean:#.4g}".rstrip(".") + ("" if sd is None else " ± 0")
    places = max(0, 1 - math.floor(math.log10(sd)))
    return f"{mean:.{places}f} ± {sd:.{places}f}"


def percent(share: float, places: int = 1) -> str:
    """A relative change with its sign: `-4.0 %`."""
    return f"{100 * share:+.{places}f} %"


def share(value: float | None) -> str:
    """`12 %`, `3.1 %` below a tenth; blank for none."""
    return "" if value is None else f"{100 * value:.{1 if abs(value) < 0.1 else 0}f} %"


def significant(value: float | None, figures: int = 4) -> str:
    """A number with a few figures; blank for none."""
    return "" if value is None else f"{value:.{figures}g}"


def axis_value(value: Any) -> str:
    """The value of an axis as YAML and JSON write it: `[2, 3]`, `dynamic`, `0.001`; blank for none."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def axis_label(value: Any) -> str:
    """The value of an axis as a figure has room for: `name=middle layers=[2]` for a mapping."""
    if not isinstance(value, dict):
        return axis_value(value)
    keys = sorted(value, key=lambda key: key != "name")
    return " ".join(f"{key}={axis_value(value[key])}" for key in keys)


def parameter_count(value: int) -> str:
    """`4.03 M`."""
    return f"{value / 1e6:.2f} M" if value >= 10_000 else str(value)


def minutes(seconds: float | None) -> str:
    """Seconds as minutes; blank for none."""
    return "" if seconds is None else f"{seconds / 60:.1f}"


def shortened(names: Sequence[str], length: int = 28) -> list[str]:
    """Names as there is room for: the middle is left out, because names of variants differ at both ends."""
    tail = length * 2 // 5
    return [name if len(name) <= length else f"{name[: length - 1 - tail]}…{name[-tail:]}" for name in names]


def plural(count: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(names: Sequence[str], most: int, separator: str = ", ") -> str:
    """The first `most` names, with `…` for those left out."""
    return separator.join([*names[:most], "…"] if len(names) > most else names)


def natural(text: str) -> tuple[tuple[bool, int, str], ...]:
    """A sort key by which `10` stands after `9`, and words after numbers."""
    parts = re.split(r"(\d+)", text)
    return tuple((not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts if part)
