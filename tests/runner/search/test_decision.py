"""Who goes on after a round."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as some

from runner.search.decision import decide
from runner.search.rounds import expected, most

VALUES = some.lists(some.lists(some.none() | some.floats(0.01, 10), min_size=2, max_size=2), min_size=1, max_size=30)
PARTS = some.fractions(Fraction(1, 20), Fraction(19, 20), max_denominator=20)


@given(VALUES, PARTS, some.floats(0, 0.5), some.sampled_from(("min", "max")))
def test_everyone_is_kept_or_dropped_with_a_reason_and_the_best_stays(rows, part, within, mode) -> None:  # type: ignore[no-untyped-def]
    values = {f"p{number}": row for number, row in enumerate(rows)}
    decision = decide(values, mode, "val_mae", part, within)
    assert sorted([*decision.kept, *decision.dropped]) == sorted(values)
    assert all(why["reason"] for why in decision.dropped.values())
    scored = len(decision.means)
    assert len(decision.kept) <= (most(scored, part) if scored else 0)
    assert len(decision.kept) >= (expected(scored, part) if scored else 0)
    ordered = sorted(decision.means.values(), reverse=mode == "max")
    assert [decision.means[point] for point in decision.kept] == ordered[: len(decision.kept)]


@given(VALUES, PARTS, some.randoms(use_true_random=False))
def test_decision_does_not_depend_on_the_order_in_which_results_came(rows, part, random) -> None:  # type: ignore[no-untyped-def]
    values = {f"p{number}": [number + value if value else None for value in row] for number, row in enumerate(rows)}
    other = list(values.items())
    random.shuffle(other)
    first, second = (decide(one, "min", "val_mae", part, 0.05) for one in (values, dict(other)))
    assert (set(first.kept), set(first.dropped)) == (set(second.kept), set(second.dropped))


def test_near_misses_stay_but_at_most_half_as_many_again() -> None:
    values = {f"p{number}": [1 + number / 1000] for number in range(12)}
    assert len(decide(values, "min", "val_mae", Fraction(1, 3), 0.05).kept) == 6
    assert len(decide(values, "min", "val_mae", Fraction(1, 3), 0.0).kept) == 4


def test_share_of_a_score_is_of_what_is_left_to_its_bound() -> None:
    values = {"a": [0.99], "b": [0.98], "c": [0.5]}
    assert decide(values, "max", "val_accuracy", Fraction(1, 3), 0.05).kept == ("a",)
    values = {"a": [0.9], "b": [0.899], "c": [0.896], "d": [0.1]}
    assert decide(values, "max", "val_accuracy", Fraction(1, 2), 0.05).kept == ("a", "b", "c")


def test_point_that_lacks_a_result_leaves_and_the_numbers_say_why_the_others_do() -> None:
    decision = decide({"a": [1.0, 1.2], "b": [2.0, 2.6], "c": [0.1, None]}, "min", "val_mae", Fraction(1, 2), 0.05)
    assert decision.kept == ("a",)
    assert decision.dropped["c"]["reason"] == "1 of 2 runs have no result"
    assert decision.dropped["b"]["reason"] == "val_mae 2.3, the last one kept has 1.1"
    low, high = decision.dropped["b"]["interval"]
    assert low < decision.dropped["b"]["difference"] < high


def test_race_finds_a_point_that_is_ten_percent_better_for_a_third_of_the_cost() -> None:
    random, hits = np.random.default_rng(0), 0
    for _ in range(200):
        alive = [f"p{number}" for number in range(12)]
        true = {point: 0.207 if point == "p7" else 0.23 for point in alive}
        table = {point: true[point] + 0.0097 * random.standard_normal(8) for point in alive}
        for seeds in (2, 4):
            values = {point: list(table[point][:seeds]) for point in alive}
            alive = list(decide(values, "min", "val_mae", Fraction(1, 3), 0.05).kept)
        hits += min(alive, key=lambda point: table[point].mean()) == "p7"
    assert hits >= 180
