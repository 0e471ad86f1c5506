"""Times and amounts of memory as people and Slurm write them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_UNIT_MEBIBYTES = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}

TIME_FORMS = "minutes (30), 90m, 1.5h, 2d, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS"
MEMORY_FORMS = "a number with K, M, G or T (16G), or mebibytes (16384)"
LONGEST_SECONDS = 3650 * 86400  # nobody means more than ten years
MOST_MEBIBYTES = 1024**4  # nor more than an exbibyte


def seconds(value: str | int | float) -> int:
    """The seconds of a time limit; a bare number counts minutes and `a:b` is minutes and seconds, as in Slurm.

    Raises ValueError naming the accepted forms.
    """
    text = str(value).strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return _positive(float(text) * 60, text)
    if unit := re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([smhd])", text):
        return _positive(float(unit[1]) * _UNIT_SECONDS[unit[2]], text)
    days = r"(?P<d>[0-9]+)-(?P<h>[0-9]{1,2})(?::(?P<m>[0-9]{1,2}))?(?::(?P<s>[0-9]{1,2}))?"
    clock = r"(?:(?P<h>[0-9]+):)?(?P<m>[0-9]+):(?P<s>[0-9]{1,2})"
    if parts := re.fullmatch(days, text) or re.fullmatch(clock, text):
        counts = parts.groupdict(default="0")
        return _positive(sum(int(counts[unit]) * _UNIT_SECONDS[unit] for unit in counts), text)
    raise ValueError(f"{text!r} is not a time; write {TIME_FORMS}")


def _positive(value: float, text: str) -> int:
    if not 0.5 < value <= LONGEST_SECONDS:  # half a second would be rounded to none
        raise ValueError(f"{text!r} is not a time between a second and ten years")
    return round(value)


def mebibytes(value: str | int | float) -> int:
    """The mebibytes of an amount of memory; raises ValueError naming the accepted forms."""
    text = str(value).strip()
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(?:i?B)?", text, re.IGNORECASE)
    amount = float(match[1]) * _UNIT_MEBIBYTES[match[2].upper() or "M"] if match else 0
    if not 0.5 < amount <= MOST_MEBIBYTES:
        raise ValueError(f"{text!r} is not an amount of memory; write {MEMORY_FORMS}")
    return round(amount)


def counted(number: int, noun: str) -> str:
    """`1 run`, `3 runs`, `1,200 runs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def shortened(names: Sequence[str], most: int, separator: str = ", ") -> str:
    """The first `most` of `names`, and `…` where there are more."""
    return separator.join([*names[:most], *(["…"] if len(names) > most else [])])


def time_in_words(value: int) -> str:
    """`value` seconds with the word for each unit: 1 min 30 s, 2 h, 1 d 12 h."""
    parts = []
    for name, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, value = divmod(value, size)
        parts += [f"{count} {name}"] if count else []
    return " ".join(parts)


def unnamed_units(written: Mapping[str, Any]) -> list[str]:
    """How `time` and `memory` were understood where they name no unit: `time 1:30 → 1 min 30 s`."""
    time, memory = (str(written.get(key, "")).strip() for key in ("time", "memory"))
    readings = [f"time {time} → {time_in_words(seconds(time))}"] if re.fullmatch(r"[0-9.]+(:[0-9]+)?", time) else []
    return readings + ([f"memory {memory} → {mebibytes(memory):,} MiB"] if re.fullmatch(r"[0-9.]+", memory) else [])


def human_seconds(value: float) -> str:
    """A duration short enough for a table: 8s, 3m20s, 2h05m, 3d04h."""
    whole = int(value)
    for size, unit, part, of_part in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // part:02}{of_part}"
    return f"{whole}s"
