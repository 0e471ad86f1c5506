"""Errors and scores against their definitions."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from jobs.tasks.crystal.metrics import errors, errors_of_logarithms, scores

PROBABILITIES = np.array([0.9, 0.8, 0.6, 0.6, 0.4, 0.2])
CLASSES = np.array([1.0, 0.0, 1.0, 0.0, 1.0, 0.0])


def test_errors_are_mean_absolute_and_root_mean_square() -> None:
    found = errors("val", np.array([1.0, 2.0, 5.0]), np.array([1.0, 4.0, 4.0]))
    assert found == pytest.approx({"val_mae": 1.0, "val_rmse": math.sqrt(5 / 3)})


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    positive, negative = PROBABILITIES[CLASSES == 1], PROBABILITIES[CLASSES == 0]
    pairs = [1.0 if p > n else 0.5 if p == n else 0.0 for p, n in product(positive, negative)]
    assert scores("val", PROBABILITIES, CLASSES)["val_auc"] == pytest.approx(sum(pairs) / 9)


def test_accuracy_and_f1_decide_at_one_half() -> None:
    found = scores("test", PROBABILITIES, CLASSES)  # found positive: four, two of them rightly, of three
    assert found["test_accuracy"] == pytest.approx(3 / 6)
    precision, recall = 2 / 4, 2 / 3
    assert found["test_f1"] == pytest.approx(2 * precision * recall / (precision + recall))


def test_bce_is_the_mean_surprise() -> None:
    expected = -sum(math.log(p if c else 1 - p) for p, c in zip(PROBABILITIES, CLASSES, strict=True)) / 6
    assert scores("val", PROBABILITIES, CLASSES)["val_bce"] == pytest.approx(expected)


def test_perfect_and_reversed_predictions_have_finite_scores() -> None:
    perfect = scores("val", CLASSES, CLASSES)
    assert (perfect["val_auc"], perfect["val_f1"], perfect["val_accuracy"]) == (1, 1, 1)
    reverse = scores("val", 1 - CLASSES, CLASSES)
    assert (reverse["val_auc"], reverse["val_f1"], reverse["val_accuracy"]) == (0, 0, 0)
    assert math.isfinite(reverse["val_bce"])
    nothing_found = scores("val", np.zeros(6), CLASSES)
    assert (nothing_found["val_f1"], nothing_found["val_auc"]) == (0, 0.5)


def test_average_precision_sums_precision_over_the_steps_of_recall() -> None:
    # by hand: 0.9 hit (1/1), 0.8 miss, 0.6 one of two (2/4), 0.4 hit (3/5)
    assert scores("val", PROBABILITIES, CLASSES)["val_ap"] == pytest.approx((1 / 1 + 2 / 4 + 3 / 5) / 3)
    assert scores("val", np.full(6, 0.3), CLASSES)["val_ap"] == 0.5


def test_errors_of_logarithms_keep_the_unit_and_say_so() -> None:
    found = errors_of_logarithms("val", np.array([10.0, 1.0]), np.array([100.0, 1.0]))
    assert found == pytest.approx({"val_mae": 45.0, "val_rmse": math.sqrt(4050), "val_mae_log10": 0.5})
