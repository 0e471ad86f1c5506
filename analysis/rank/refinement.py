"""Experiment files around the best variant: a finer grid, and a full training of it alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.rank.ranking import Variant
from analysis.task_definitions import FULL_EPOCHS, FULL_PATIENCE
from runner.config.dotted import with_value
from runner.config.yaml_output import dump
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
    numeric = {axis: value for axis, value in best.axes.items() if as_number(value) is not None}
    tried = {
        axis: sorted({each.axes[axis] for each in variants if as_number(each.axes.get(axis)) is not None})
        for axis in numeric
    }
    return [finer(axis, tried[axis], value, points) for axis, value in numeric.items() if len(tried[axis]) >= 2]


def finer(axis: str, tried: Sequence[float], best: float, points: int) -> FinerAxis:
    """`tried`: ascending, with `best` among them. Whole numbers stay whole; none is below zero where none was tried."""
    by_factor = tried[0] > 0 and tried[-1] / tried[0] >= DECADE
    scale, back = (math.log, math.exp) if by_factor else (float, float)
    place = list(tried).index(best)
    steps = [scale(tried[place + side]) - scale(best) if 0 <= place + side < len(tried) else None for side in (-1, 1)]
    low, high = (step if step is not None else -(other or 0.0) for step, other in (steps, steps[::-1]))
    each = (points - 1) // 2
    shares = [number / (each + 1) for number in range(1, each + 1)]
    around = [_rounded(back(scale(best) + step * share), tried) for step in (low, high) for share in shares]
    kept = {value for value in (best, *around) if tried[0] < 0 or value > 0 or value == tried[0]}
    return FinerAxis(axis, best, tuple(sorted(kept)), None in steps)


def _rounded(value: float, tried: Sequence[float]) -> float:
    return round(value) if all(isinstance(number, int) for number in tried) else float(f"{value:.3g}")


def refined(content: Mapping[str, Any], best: Variant, axes: Sequence[FinerAxis], name: str) -> dict[str, Any]:
    """The experiment file `content` with the finer axes; everything else as the best variant has it.

    The best is the baseline of the new experiment.
    """
    params = dict(content.get("params") or {})
    varied = {finer.axis for finer in axes}
    for key, value in sorted(best.axes.items(), key=lambda item: item[0].count(".")):
        if key not in varied:
            params = with_value(params, key.split("."), value)
    matrix: dict[str, Any] = {"axes": {finer.axis: list(finer.values) for finer in axes}}
    if "seeds" in (content.get("matrix") or {}):
        matrix["seeds"] = content["matrix"]["seeds"]
    kept = {key: value for key, value in content.items() if key not in ("next", "promoted", "baseline")}
    described = f"A finer grid around {best.name} of {content.get('experiment')}."
    changed = {"experiment": name, "description": described, "params": params, "matrix": matrix}
    return {**kept, **changed, "baseline": {finer.axis: finer.best for finer in axes}}


def best_config(content: Mapping[str, Any], chosen: Variant) -> str:
    """best_config.yaml: `content` with the parameters of `chosen` alone, all data, and epochs enough.

    Seeds, cluster and resources stay.
    """
    name = str(content.get("experiment"))
    best = refined(content, chosen, [], f"{name}_best")
    params = best["params"]
    train, data = dict(params.get("train") or {}), dict(params.get("data") or {})
    train["epochs"] = max(FULL_EPOCHS, int(train.get("epochs") or 0))
    if train.get("patience") is not None:
        train["patience"] = max(FULL_PATIENCE, int(train["patience"]))
    data |= dict.fromkeys(data.keys() & {"train", "val", "test"})
    best["params"] = {**params, **({"data": data} if data else {}), "train": train}
    best["matrix"].pop("axes")
    best["description"] = f"The best of {name}, {chosen.name}, trained in full and tested once."
    best = {key: value for key, value in best.items() if key not in ("baseline", "search")}
    return dump(best, f"Written by `analysis summarize {name}`: {chosen.name}, as its validation split chose it.")
