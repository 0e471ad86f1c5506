"""What the name of a metric says of its direction."""

from __future__ import annotations

import re
from typing import Literal

Mode = Literal["min", "max"]
ROUNDING = 1e-12  # relative; a difference of rounding alone

_ERROR = re.compile(r"(?<![a-z])(loss|error|err|mae|mse|rmse|mape|nll|bce|perplexity)(?![a-z])")
_SCORE = re.compile(
    r"accuracy|correlation|pearson|spearman|auroc|average_precision|(?<![a-z])(roc)?auc(?![a-z])"
    r"|(?<![a-z])(acc|corr|ap)(?![a-z])|(?<![a-z])(f1|r2|r²)(score)?(?![a-z0-9])"
)


def named_mode(metric: str) -> Mode | None:
    """`max` for accuracy, AUC, F1, R² and correlation, which 1 bounds; `min` for losses and errors; None for others."""
    name = metric.lower()
    if _ERROR.search(name):
        return None if "neg" in name else "min"
    return "max" if _SCORE.search(name) else None


def bound_of(best: float, mode: str, metric: str) -> float | None:
    """What bounds a score that is maximised: 1, or 100 where it is written in percent; None for other metrics."""
    bound = 1.0 if best <= 1 else 100.0
    return bound if mode == "max" and named_mode(metric) == "max" and best <= bound else None


def is_near(value: float, best: float, mode: str, metric: str, within: float) -> bool:
    """Whether `value` is at most the share `within` behind `best`.

    The share is of the metric, or of what is left to its bound where it is a score that 1 bounds: 0.99 is not almost
    0.98. Scores above 1 are taken for percent.
    """
    bound = bound_of(best, mode, metric)
    scale = abs(best) if bound is None else bound - best
    return (value - best) * (1 if mode == "min" else -1) <= within * scale + ROUNDING * abs(best)
