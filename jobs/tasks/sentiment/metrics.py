"""How good predictions of sentiment are: arrays in, a number by name out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]  # (n,)


def scores(split: str, predictions: Values, labels: Values) -> dict[str, float]:
    """Of a split; both in [−3, 3], predictions may lie beyond.

    mse, mae; corr: Pearson's correlation, 0 where either is constant; acc7: the share whose nearest whole sentiment is
    right; acc2, f1: of utterances that are not neutral (label ≠ 0), positive against the rest, f1 weighted by the
    numbers of both classes; left out where all are neutral.
    """
    difference = predictions - labels
    spread = predictions.std() * labels.std()
    covariance = ((predictions - predictions.mean()) * (labels - labels.mean())).mean()
    metrics = {
        f"{split}_mse": float((difference**2).mean()),
        f"{split}_mae": float(np.abs(difference).mean()),
        f"{split}_corr": float(covariance / spread) if spread > 1e-12 else 0.0,
        f"{split}_acc7": float((_class(predictions) == _class(labels)).mean()),
    }
    clear = labels != 0
    if clear.any():
        predicted, right = predictions[clear] > 0, labels[clear] > 0
        metrics |= {f"{split}_acc2": float((predicted == right).mean()), f"{split}_f1": weighted_f1(predicted, right)}
    return metrics


def _class(values: Values) -> NDArray[np.int64]:
    return np.round(np.clip(values, -3, 3)).astype(np.int64)


def weighted_f1(predicted: NDArray[np.bool_], right: NDArray[np.bool_]) -> float:
    """F1 of both classes, weighted by how many of each there are."""
    total = 0.0
    for true, chosen in ((~right, ~predicted), (right, predicted)):
        if true.any():
            total += true.mean() * 2 * (true & chosen).sum() / (true.sum() + chosen.sum())
    return float(total)
