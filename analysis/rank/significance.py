"""Which variants are tied with the best: those within a share of it, whatever the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.collect.manifest import Select
from analysis.formatting import percent
from analysis.rank.ranking import Variant
from runner.config.metric_names import bound_of, is_near


@dataclass(frozen=True)
class Tie:
    """How a variant compares with the best one."""

    tied: bool
    reason: str  # in words


def tie(value: float, best: float, select: Select) -> Tie:
    """Whether a variant with the metric `value` is tied with the best one, and why."""
    if is_near(value, best, select.mode, select.metric, select.within):
        bound = bound_of(best, select.mode, select.metric)
        whole = "the best" if bound is None else f"{bound:g} − the best"
        return Tie(True, f"within {select.within * 100:g} % of {whole}")
    return Tie(False, f"{percent((value - best) / abs(best))} from the best" if best else "behind the best")


def tie_set(variants: Sequence[Variant], select: Select) -> dict[str, Tie]:
    """Variant → how it compares with the best one, which stands first in `variants` and is left out."""
    values = {variant.name: variant.val.mean for variant in variants if variant.val}
    best = values[variants[0].name]
    return {variant.name: tie(values[variant.name], best, select) for variant in variants[1:]}
