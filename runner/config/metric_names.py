"""What the name of a metric says of its direction."""

from __future__ import annotations

import re
from typing import Literal

Mode = Literal["min", "max"]

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
