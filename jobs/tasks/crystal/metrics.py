"""How good predictions are: arrays in, a number by name out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]  # (C,)


def errors(split: str, predictions: Values, targets: Values) -> dict[str, float]:
    """MAE and RMSE of a split in the target's unit."""
    difference = predictions - targets
    return {
        f"{split}_mae": float(np.abs(difference).mean()),
        f"{split}_rmse": float(np.sqrt((difference**2).mean())),
    }


def scores(split: str, probabilities: Values, classes: Values) -> dict[str, float]:
    """Of a split with both `classes` (0 or 1): how well probabilities of 1 sort, and how well they decide at 1/2.

    auc: the share of pairs of a positive and a negative crystal that are in the right order, ties counting half
    (Mann and Whitney, Ann. Math. Statist. 18, 50, 1947). f1 is 0 where no positive crystal was found.
    """
    from scipy.stats import rankdata  # a second or more to import: not for a regression

    positive, found = classes > 0.5, probabilities > 0.5
    positives, negatives = int(positive.sum()), int((~positive).sum())
    rank_sum = rankdata(probabilities)[positive].sum()
    certain = np.clip(probabilities, 1e-7, 1 - 1e-7)  # float32 cannot say more
    return {
        f"{split}_bce": float(-np.log(np.where(positive, certain, 1 - certain)).mean()),
        f"{split}_accuracy": float((found == positive).mean()),
        f"{split}_f1": float(2 * (found & positive).sum() / (found.sum() + positives)),
        f"{split}_auc": float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives)),
    }
