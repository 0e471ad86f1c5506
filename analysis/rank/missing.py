"""Which variants lack runs that could still change the choice."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.collect.collection import CollectedRun
from analysis.collect.manifest import Select
from analysis.rank.comparison import loss_kind
from analysis.rank.ranking import Variant
from analysis.rank.significance import tie
from runner.config.metric_names import named_mode


def could_still_win(variants: Sequence[Variant], best: float, select: Select, *, retried: bool) -> list[Variant]:
    """Variants whose missing runs may still come, and could then be the best or tied with it.

    A run that was cancelled, diverged or ended without the metric will not come. An error is at least 0 and a score at
    most 1, so what the other seeds have may be too bad already. retried: whether failed runs are sent again at all.
    """
    return [variant for variant in variants if not variant.complete and _could_win(variant, best, select, retried)]


def _could_win(variant: Variant, best: float, select: Select, retried: bool) -> bool:
    missing = [run for run in variant.runs if run not in variant.scored]
    if any(_will_not_come(run, retried) for run in missing):
        return False
    ideal = _ideal(best, select)
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
