"""Random axes: points that are drawn, each the same again for the same seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from runner.config.experiment import Draw, Overrides, Random

Fit = Callable[[Overrides], Overrides | None]
_TRIES = 1000  # for a point that is not there yet


def drawn(random: Random, fit: Fit = dict) -> list[Overrides]:
    """`count` distinct points; fewer where the axes do not have so many.

    A value depends on the seed, its axis and the number of its point alone: a larger count, or a further axis, leaves
    what was drawn as it is. fit: what of a point holds together; None where it is to be drawn again.
    """
    points: dict[str, Overrides] = {}
    for number in range(random.count):
        for attempt in range(_TRIES):
            point = fit(draw(random, number, attempt))
            if point is not None and (name := repr(list(point.items()))) not in points:
                points[name] = point
                break
        else:
            break
    return list(points.values())


def draw(random: Random, number: int, attempt: int = 0) -> Overrides:
    """A value for every axis of point `number`."""
    return {key: _value(axis, _share(random.seed, key, number, attempt)) for key, axis in random.axes.items()}


def _share(*place: object) -> float:
    """A number from 0 to below 1 that belongs to `place`; the same on every machine."""
    digest = hashlib.sha256(":".join(map(str, place)).encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53)


def _value(draw: Draw, share: float) -> Any:
    if draw.choice is not None:
        return draw.choice[int(share * len(draw.choice))]
    if draw.integer is not None:
        low, high = draw.integer
        return low + int(share * (high - low + 1))
    if draw.log_uniform is not None:
        lower, upper = draw.log_uniform
        return draw.rounded(lower * (upper / lower) ** share)
    assert draw.uniform is not None  # one of the four is given
    lower, upper = draw.uniform
    return draw.rounded(lower + share * (upper - lower))
