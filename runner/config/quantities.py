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
    if days := re.fullmatch(r"([0-9]+)-([0-9]{1,2})(?::([0-9]{1,2}))?(?::([0-9]{1,2}))?", text):
        d, h, m, s = (int(part or 0) for part in days.groups())
        return _positive(d * 86400 + h * 3600 + m * 60 + s, text)
    if clock := re.fullmatch(r"(?:([0-9]+):)?([0-9]+):([0-9]{1,2})", text):
        h, m, s = (int(part or 0) for part in clock.groups())
        return _positive(h * 3600 + m * 60 + s, text)
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
    time, memory = written.get("time"), written.get("memory")
    readings = []
    if time is not None and re.fullmatch(r"[0-9.]+(:[0-9]+)?", str(time).strip()):
        readings.append(f"time {time} → {time_in_words(seconds(time))}")
    if memory is not None and re.fullmatch(r"[0-9.]+", str(memory).strip()):
        readings.append(f"memory {memory} → {mebibytes(memory):,} MiB")
    return readings


def human_seconds(value: float) -> str:
    """A duration short enough for a table: 8s, 3m20s, 2h05m, 3d04h."""
    whole = int(value)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"
