"""Who goes on after a round."""

from __future__ import annotations

import statistics
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as some

from runner.search.rounds import decide, expected, most

VALUES = some.lists(some.lists(some.none() | some.floats(0.01, 10), min_size=2, max_size=2), min_size=1, max_size=30)
PARTS = some.fractions(Fraction(1, 20), Fraction(19, 20), max_denominator=20)


@given(VALUES, PARTS, some.floats(0, 0.5), some.sampled_from(("min", "max")))
def test_everyone_is_kept_or_dropped_with_a_reason_and_the_best_stays(rows, part, within, mode) -> None:  # type: ignore[no-untyped-def]
    values = {f"p{number}": row for number, row in enumerate(rows)}
    kept, dropped = decide(values, mode, "val_mae", part, within)
    assert sorted([*kept, *dropped]) == sorted(values)
    assert all(left.reason for left in dropped.values())
    means = {point: statistics.fmean(row) for point, row in values.items() if None not in row}
    assert expected(len(means), part) <= len(kept) <= most(len(means), part)
    assert [means[point] for point in kept] == sorted(means.values(), reverse=mode == "max")[: len(kept)]


@given(VALUES, PARTS, some.randoms(use_true_random=False))
def test_decision_does_not_depend_on_the_order_in_which_results_came(rows, part, random) -> None:  # type: ignore[no-untyped-def]
    values = {f"p{number}": [number + value if value else None for value in row] for number, row in enumerate(rows)}
    other = list(values.items())
    random.shuffle(other)
    first, second = (decide(one, "min", "val_mae", part, 0.05) for one in (values, dict(other)))
    assert (first[0], set(first[1])) == (second[0], set(second[1]))


def test_near_misses_stay_but_at_most_half_as_many_again() -> None:
    values = {f"p{number}": [1 + number / 1000] for number in range(12)}
    assert len(decide(values, "min", "val_mae", Fraction(1, 3), 0.05)[0]) == 6
    assert len(decide(values, "min", "val_mae", Fraction(1, 3), 0.0)[0]) == 4


def test_share_of_a_score_is_of_what_is_left_to_its_bound() -> None:
    values = {"a": [0.99], "b": [0.98], "c": [0.5]}
    assert decide(values, "max", "val_accuracy", Fraction(1, 3), 0.05)[0] == ["a"]
    values = {"a": [0.9], "b": [0.899], "c": [0.896], "d": [0.1]}
    assert decide(values, "max", "val_accuracy", Fraction(1, 2), 0.05)[0] == ["a", "b", "c"]


def test_point_that_lacks_a_result_leaves_and_the_numbers_say_why_the_others_do() -> None:
    kept, dropped = decide({"a": [1.0, 1.2], "b": [2.0, 2.6], "c": [0.1, None]}, "min", "val_mae", Fraction(1, 2), 0.05)
    assert kept == ["a"]
    assert dropped["c"].reason == "1 of 2 runs have no result"
    assert dropped["b"].reason == "val_mae 2.3, the last one kept has 1.1"
    low, high = dropped["b"].interval or (0.0, 0.0)
    assert low < (dropped["b"].difference or 0.0) < high


def test_race_finds_a_point_that_is_ten_percent_better_for_a_third_of_the_cost() -> None:
    random, hits = np.random.default_rng(0), 0
    for _ in range(200):
        alive = [f"p{number}" for number in range(12)]
        true = {point: 0.207 if point == "p7" else 0.23 for point in alive}
        table = {point: true[point] + 0.0097 * random.standard_normal(8) for point in alive}
        for seeds in (2, 4):
            values = {point: list(table[point][:seeds]) for point in alive}
            alive = list(decide(values, "min", "val_mae", Fraction(1, 3), 0.05)[0])
        hits += min(alive, key=lambda point: table[point].mean()) == "p7"
    assert hits >= 180
