"""The rounds of a search and what they cost."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from runner.config.search import Search
from runner.rundir.ledger import SearchPlan
from runner.search.rounds import cost, expected, fewest_seeds, kept_part, rounds

RUNGS = {"key": "train.epochs", "values": [5, 10, 20]}


def search(**keys: Any) -> Search:
    return Search.model_validate(keys)


def steps(one: Search, seeds: int) -> list[tuple[int, int]]:
    return [(step.rung, step.seeds) for step in rounds(one, seeds)]


def test_rungs_run_all_seeds_and_a_race_doubles_them() -> None:
    assert steps(search(rungs=RUNGS), 3) == [(0, 3), (1, 3), (2, 3)]
    assert steps(search(rungs=RUNGS, seeds="racing"), 8) == [(0, 2), (1, 4), (2, 8)]
    assert steps(search(rungs=RUNGS, seeds="racing"), 3) == [(0, 1), (1, 2), (2, 3)]
    assert steps(search(seeds="racing"), 8) == [(0, 1), (0, 2), (0, 4), (0, 8)]


def test_points_join_in_as_many_first_rounds_as_they_need() -> None:
    propose = {"count": 30, "at_once": 12}
    assert steps(search(propose=propose), 2) == [(0, 2)] * 3
    assert steps(search(rungs=RUNGS, seeds="racing", propose=propose), 3) == [(0, 1)] * 3 + [(1, 2), (2, 3)]


def test_rounds_in_which_points_join_cost_each_point_once() -> None:
    one = search(rungs=RUNGS, propose={"count": 30, "at_once": 12})
    plan = SearchPlan(rounds=rounds(one, 1), seeds=1, values=(5, 10, 20))
    assert cost(plan, [12, 24, 30, 10, 4]) == pytest.approx((30 * 5 + 10 * 10 + 4 * 20) / (30 * 20))
    assert cost(plan, [12, 24]) == pytest.approx(5 / 20)


@given(some.integers(2, 6), some.integers(1, 40), some.booleans())
def test_every_race_adds_seeds_in_each_round_and_ends_with_all(rungs: int, more: int, climbs: bool) -> None:
    keys = {"rungs": {"key": "k", "values": list(range(1, rungs + 1))}} if climbs else {}
    one = search(seeds="racing", **keys)
    seeds = fewest_seeds(one) + more - 1
    counts = [count for _, count in steps(one, seeds)]
    assert counts[-1] == seeds
    assert all(low < high for low, high in pairwise(counts))
    assert counts[0] >= 1


def test_cost_counts_what_a_longer_run_takes_over() -> None:
    plan = SearchPlan(rounds=rounds(search(rungs=RUNGS), 1), seeds=1, key="train.epochs", values=(5, 10, 20))
    assert cost(plan, [12, 4, 2]) == pytest.approx((12 * 5 + 4 * 10 + 2 * 20) / 240)
    stable = plan.model_copy(update={"stable": 0.8})
    assert cost(stable, [12, 4, 2]) == pytest.approx((12 * 5 + 4 * 6 + 2 * 12) / 240)
    assert cost(stable, [12]) == pytest.approx(60 / 240)


def test_race_on_rungs_takes_over_only_the_seeds_that_the_rung_below_has() -> None:
    one = search(rungs=RUNGS, seeds="racing")
    plan = SearchPlan(rounds=rounds(one, 8), seeds=8, values=(5, 10, 20), stable=0.8)
    assert cost(plan, [12, 4]) == pytest.approx((12 * 2 * 5 + 4 * (2 * 6 + 2 * 10)) / (12 * 8 * 20))


def test_race_without_rungs_costs_each_seed_once() -> None:
    one = search(seeds="racing")
    plan = SearchPlan(rounds=rounds(one, 8), seeds=8)
    points = [12, 6, 3, 2]
    assert [expected(count, kept_part(one)) for count in points[:3]] == points[1:]
    assert cost(plan, points) == pytest.approx((12 + 6 + 3 * 2 + 2 * 4) / 96)
