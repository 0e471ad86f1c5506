"""Which variants are tied with the best, within a share of it whatever the noise, and which could still come to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.collect.collection import CollectedRun
from analysis.formatting import percent
from analysis.rank.comparison import loss_kind
from analysis.rank.ranking import Variant
from runner.config.metric_names import bound_of, is_near, named_mode
from runner.rundir.planned import Select


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
    return {name: tie(value, values[variants[0].name], select) for name, value in list(values.items())[1:]}


def could_still_win(
    variants: Sequence[Variant], best: Variant | None, select: Select, *, retried: bool
) -> list[Variant]:
    """Variants whose missing runs may still come, and could then be the best or tied with it; none without a best.

    A run that was cancelled, diverged or ended without the metric will not come. An error is at least 0 and a score at
    most 1, so what the other seeds have may be too bad already. retried: whether failed runs are sent again at all.
    """
    if best is None or best.val is None:
        return []
    ideal, value = _ideal(best.val.mean, select), best.val.mean
    return [
        variant for variant in variants if not variant.complete and _could_win(variant, value, ideal, select, retried)
    ]


def _could_win(variant: Variant, best: float, ideal: float | None, select: Select, retried: bool) -> bool:
    missing = [run for run in variant.runs if run not in variant.scored]
    if any(_will_not_come(run, retried) for run in missing):
        return False
    if ideal is None or variant.val is None:
        return True
    value = (variant.val.mean * variant.val.n + ideal * len(missing)) / len(variant.runs)
    return tie(value, best, select).tied


def _will_not_come(run: CollectedRun, retried: bool) -> bool:
    final = not retried or (run.record.failure or {}).get("kind") == "diverged"
    return (run.state == "failed" and final) or run.state in ("completed", "cancelled", "dropped")


def _ideal(best: float, select: Select) -> float | None:
    """The best value that a metric can have; None where that is not known."""
    if select.mode == "min":
        return 0.0 if loss_kind(select.metric) else None
    return (1.0 if best <= 1 else 100.0) if named_mode(select.metric) == "max" else None
