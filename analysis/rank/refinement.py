"""A finer grid around the best variant, as the matrix of a new experiment."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.rank.ranking import Variant
from runner.files import as_number

DECADE = 10.0  # positive values that span it are spaced by factors, others by differences


@dataclass(frozen=True)
class FinerAxis:
    """Values around the best one of an axis."""

    axis: str
    best: float
    values: tuple[float, ...]  # ascending, the best among them
    at_edge: bool  # the best was the first or last value tried, so the grid goes beyond


def finer_axes(variants: Sequence[Variant], best: Variant, points: int) -> list[FinerAxis]:
    """For every axis of at least two numbers, `points` values between the neighbours of the best one."""
    found = []
    for axis, value in best.axes.items():
        tried = [variant.axes[axis] for variant in variants if axis in variant.axes]
        numbers = sorted({number for number in tried if _is_number(number)})
        if len(numbers) >= 2 and _is_number(value):
            found.append(finer(axis, numbers, value, points))
    return found


def finer(axis: str, tried: Sequence[float], best: float, points: int) -> FinerAxis:
    """`tried`: ascending, with `best` among them. Whole numbers stay whole; none is below zero where none was tried."""
    by_factor = tried[0] > 0 and tried[-1] / tried[0] >= DECADE
    there, back = (math.log, math.exp) if by_factor else (float, float)
    place = list(tried).index(best)
    centre = there(best)
    steps = [there(tried[place + side]) - centre if 0 <= place + side < len(tried) else None for side in (-1, 1)]
    low, high = steps
    low = -high if low is None and high is not None else low
    high = -low if high is None and low is not None else high
    each = (points - 1) // 2
    values = {best}
    for step in (low or 0.0, high or 0.0):
        values |= {_rounded(back(centre + step * number / (each + 1)), tried) for number in range(1, each + 1)}
    kept = tuple(sorted(value for value in values if tried[0] < 0 or value > 0 or value == tried[0]))
    return FinerAxis(axis, best, kept, None in steps)


def _rounded(value: float, tried: Sequence[float]) -> float:
    return round(value) if all(isinstance(number, int) for number in tried) else float(f"{value:.3g}")


def _is_number(value: Any) -> bool:
    return as_number(value) is not None


def refined(content: Mapping[str, Any], best: Variant, axes: Sequence[FinerAxis], name: str) -> dict[str, Any]:
    """The experiment file `content` with the finer axes; everything else as the best variant has it.

    The best is the baseline of the new experiment.
    """
    params = copy.deepcopy(dict(content.get("params") or {}))
    varied = {finer.axis for finer in axes}
    for key, value in sorted(best.axes.items(), key=lambda item: item[0].count(".")):
        if key not in varied:
            _set(params, key.split("."), value)
    matrix: dict[str, Any] = {"axes": {finer.axis: list(finer.values) for finer in axes}}
    if "seeds" in (content.get("matrix") or {}):
        matrix["seeds"] = content["matrix"]["seeds"]
    kept = {key: value for key, value in content.items() if key not in ("next", "promoted", "baseline")}
    described = f"A finer grid around {best.name} of {content.get('experiment')}."
    changed = {"experiment": name, "description": described, "params": params, "matrix": matrix}
    return {**kept, **changed, "baseline": {finer.axis: finer.best for finer in axes}}


def _set(params: dict[str, Any], path: Sequence[str], value: Any) -> None:
    place = params
    for part in path[:-1]:
        inner = place.get(part)
        place[part] = inner if isinstance(inner, dict) else {}
        place = place[part]
    place[path[-1]] = value
