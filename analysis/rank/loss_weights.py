"""Which part of a loss of several parts moves the result: a verdict on a search over their weights.

A task says in its result which parameters are such weights and what each weighs (`loss_weights` in the extra values of
its outcome: {dotted key: part}). Free of torch and pandas.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LEADS = 2.0  # times the other's effect: then one axis leads, otherwise it is a matter of balance (inferred)
NOISE = 0.05  # an effect whose p is above this is inside the noise


@dataclass(frozen=True)
class Point:
    """A run of the search."""

    axes: Mapping[str, Any]  # dotted key → value, of all axes
    seed: int | None
    value: float  # of the metric that ranks


@dataclass(frozen=True)
class AxisEffect:
    """What a weight does to the metric, all else being equal."""

    axis: str
    part: str  # of the loss: distillation, contrast
    tried: tuple[float, ...]  # ascending
    best: float
    effect: float  # range of the metric over the axis, as a share of the best value
    p: float | None  # of so large a range by chance (F test against what is left unexplained); None: not known

    @property
    def beyond_noise(self) -> bool:
        return self.p is not None and self.p < NOISE

    @property
    def place(self) -> str:
        """Where its best lies."""
        edge = {self.tried[0]: ", the lowest tried", self.tried[-1]: ", the highest tried"}.get(self.best)
        return f"best at {self.best:g}" + (edge or f", inside {self.tried[0]:g} to {self.tried[-1]:g}")

    def sentence(self, metric: str) -> str:
        side = "beyond" if self.beyond_noise else "inside"
        noise = "noise unknown" if self.p is None else f"{side} the noise, p = {self.p:.2g}"
        return f"{self.axis} ({self.part}) moves {metric} by {self.effect:.1%}, {self.place} ({noise})"


@dataclass(frozen=True)
class WeightVerdict:
    """Which part of the loss leads."""

    verdict: str  # <part>-led, balance-led, or undecided
    metric: str
    effects: tuple[AxisEffect, ...]  # the largest first

    @property
    def sentences(self) -> list[str]:
        unknown = all(effect.p is None for effect in self.effects)
        why = "the noise is not known, so no weight can be shown to move the metric"
        undecided = why if unknown else "no weight moves the metric beyond the noise"
        first = {
            "balance-led": "balance-led: no weight moves the metric twice as much as another; search them together",
            "undecided": f"undecided: {undecided}; more seeds, or leave them small",
        }.get(self.verdict, f"{self.verdict}: {self.effects[0].axis} is the weight to search")
        return [first, *(effect.sentence(self.metric) for effect in self.effects)]

    def as_dict(self) -> dict[str, Any]:
        keys = ("axis", "part", "tried", "best", "effect", "p", "place")
        return {
            "verdict": self.verdict,
            "effects": [{key: getattr(effect, key) for key in keys} for effect in self.effects],
        }


def verdict(points: Sequence[Point], parts: Mapping[str, str], metric: str, mode: str) -> WeightVerdict | None:
    """The verdict on the axes that `parts` names; None where no two runs differ in one of them alone."""
    effects = [effect for axis, part in parts.items() if (effect := axis_effect(points, axis, part, mode))]
    effects.sort(key=lambda effect: -effect.effect)
    beyond = [effect for effect in effects if effect.beyond_noise]
    word = "undecided"
    if beyond:
        leads = len(beyond) == 1 or beyond[0].effect >= LEADS * beyond[1].effect
        word = f"{beyond[0].part}-led" if leads else "balance-led"
        effects.sort(key=lambda effect: leads and effect is not beyond[0])
    return WeightVerdict(word, metric, tuple(effects)) if effects else None


def axis_effect(points: Sequence[Point], axis: str, part: str, mode: str) -> AxisEffect | None:
    """The effect of one axis from runs that differ in it alone: the same other axes and the same seed.

    Least squares of value = (level of the axis) + (what else the run is); on a full grid the levels are the means over
    the other axes, and what is left unexplained, their interaction and chance, is the noise of the F test.
    """
    blocks: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        level = point.axes.get(axis)
        if isinstance(level, (int, float)) and not isinstance(level, bool):
            others = {name: value for name, value in point.axes.items() if name != axis}
            block = json.dumps([others, point.seed], sort_keys=True, default=str)
            blocks.setdefault(block, []).append((float(level), point.value))
    compared = _connected([pairs for pairs in blocks.values() if len({level for level, _ in pairs}) > 1])
    if not compared:
        return None
    levels = sorted({level for pairs in compared for level, _ in pairs})
    rows = [(number, levels.index(level), value) for number, pairs in enumerate(compared) for level, value in pairs]
    adjusted, p = _fitted(rows, len(compared), len(levels))
    sign = 1 if mode == "min" else -1
    best = int(np.argmin(sign * adjusted))
    scale = abs(min((value * sign for _, _, value in rows))) or 1.0
    return AxisEffect(axis, part, tuple(levels), levels[best], float(np.ptp(adjusted)) / scale, p)


def _connected(blocks: Iterable[list[tuple[float, float]]]) -> list[list[tuple[float, float]]]:
    """The largest set of blocks whose levels can be compared with each other, directly or over others."""
    groups: list[tuple[set[float], list[list[tuple[float, float]]]]] = []
    for pairs in blocks:
        levels = {level for level, _ in pairs}
        touching = [group for group in groups if group[0] & levels]
        members = [pairs, *(member for group in touching for member in group[1])]
        joined = (levels.union(*(group[0] for group in touching)), members)
        groups = [group for group in groups if not group[0] & levels] + [joined]
    return max((members for _, members in groups), key=lambda members: sum(map(len, members)), default=[])


def _fitted(rows: Sequence[tuple[int, int, float]], blocks: int, levels: int) -> tuple[np.ndarray, float | None]:
    """Level effects (levels,), and p of their F test; None where nothing is left to estimate the noise from.

    rows: block, level, value.
    """
    block, level, value = (np.array(column) for column in zip(*rows, strict=True))
    without = np.eye(blocks)[block.astype(int)]
    design = np.hstack([without, np.eye(levels)[level.astype(int), 1:]])
    solution = np.linalg.lstsq(design, value, rcond=None)[0]
    left = float(((value - design @ solution) ** 2).sum())
    before = float(((value - without @ np.linalg.lstsq(without, value, rcond=None)[0]) ** 2).sum())
    freedom = len(rows) - (blocks + levels - 1)
    effects = np.concatenate([[0.0], solution[blocks:]])
    if freedom < 1 or left <= 1e-12 * max(before, 1e-300):
        return effects, None
    from scipy.stats import f  # a quarter of a second, and most experiments have no such axis

    return effects, float(f.sf((before - left) / (levels - 1) / (left / freedom), levels - 1, freedom))
