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


def errors_of_logarithms(split: str, predictions: Values, targets: Values) -> dict[str, float]:
    """`errors`, and the MAE of the decimal logarithms, which is what training makes small."""
    difference = np.log10(np.maximum(predictions, np.finfo(np.float64).tiny)) - np.log10(targets)
    return errors(split, predictions, targets) | {f"{split}_mae_log10": float(np.abs(difference).mean())}


def scores(split: str, probabilities: Values, classes: Values) -> dict[str, float]:
    """Of a split with both `classes` (0 or 1): how well probabilities of 1 sort, and how well they decide at 1/2.

    auc: the share of pairs of a positive and a negative crystal that are in the right order, ties counting half
    (Mann and Whitney, Ann. Math. Statist. 18, 50, 1947). f1 is 0 where no positive crystal was found. ap:
    average precision, Σ (R_n − R_{n−1})·P_n over the distinct probabilities in falling order; without skill it is the
    share of positives.
    """
    from scipy.stats import rankdata  # a second or more to import: not for a regression

    positive, predicted = classes > 0.5, probabilities > 0.5
    positives, negatives = int(positive.sum()), int((~positive).sum())
    rank_sum = rankdata(probabilities)[positive].sum()
    certain = np.clip(probabilities, 1e-7, 1 - 1e-7)  # float32 cannot say more
    return {
        f"{split}_bce": float(-np.log(np.where(positive, certain, 1 - certain)).mean()),
        f"{split}_accuracy": float((predicted == positive).mean()),
        f"{split}_f1": float(2 * (predicted & positive).sum() / (predicted.sum() + positives)),
        f"{split}_ap": _average_precision(probabilities, positive),
        f"{split}_auc": float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives)),
    }


def _average_precision(probabilities: Values, positive: NDArray[np.bool_]) -> float:
    order = np.argsort(-probabilities, kind="stable")
    ends = np.append(
        np.flatnonzero(np.diff(probabilities[order])), len(order) - 1
    )  # crystals of one probability together
    hits = positive[order].cumsum()[ends]
    return float((np.diff(hits, prepend=0) * hits / (ends + 1)).sum() / positive.sum())
