"""The simulation behind the rules of choosing, small; the whole one fills docs/analysis.md."""

import json

import numpy as np
import pytest

from benchmarks.choice import (
    ITEMS,
    MEASURED,
    NOISE,
    PAGE,
    SEEDS,
    choices,
    claims,
    losses,
    most_allowed,
    pooled_claims,
    tables,
)
from benchmarks.page import filled


def test_the_drawn_noise_has_its_standard_deviations():
    noise = NOISE["measured"]
    drawn = losses(np.random.default_rng(0), np.zeros((40, 2)), noise, 6, 300)
    difference = drawn[:, 0].mean(1) - drawn[:, 1].mean(1)
    of_item = difference - difference.mean(-1, keepdims=True)
    assert drawn.mean(-1).std() == pytest.approx(
        (noise.seed**2 + (noise.both**2 + noise.item**2 / 2) / 300) ** 0.5, rel=0.1
    )
    assert of_item.std() == pytest.approx((2 * noise.both**2 / 6 + noise.item**2) ** 0.5, rel=0.1)


@pytest.mark.parametrize("noise", list(NOISE))
@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("items", [50, 500])
def test_few_claims_are_made_without_a_difference(noise, seeds, items):
    repeats = 300
    share = claims(NOISE[noise], seeds, items, 0.0, repeats, np.random.default_rng(1))
    assert share <= most_allowed(repeats)


def test_two_seeds_with_a_pooled_variance_make_few_claims_without_a_difference():
    assert pooled_claims(NOISE["measured"], 100, 300, np.random.default_rng(2)) <= most_allowed(300)


@pytest.mark.parametrize(("better", "least"), [(0.2, 0.95), (0.1, 0.55)])
def test_three_seeds_choose_within_5_percent_of_the_best_of_twelve(better, least):
    assert choices(better, 3, 100, 400, np.random.default_rng(3))["within_5_percent"] >= least


def test_the_stored_simulation_is_complete_and_within_its_bounds():
    found = json.loads(MEASURED.read_text())
    assert {(row["noise"], row["seeds"], row["items"]) for row in found["pairs"]} == {
        (noise, seeds, items) for noise in NOISE for seeds in SEEDS for items in ITEMS
    }
    assert all(row["type_1"] <= most_allowed(found["repeats"]) for row in found["pairs"] + found["pooled"])
    near = {(row["better"], row["seeds"], row["items"]): row["within_5_percent"] for row in found["choices"]}
    assert near[0.2, 3, 100] >= 0.95
    assert near[0.1, 3, 100] >= 0.55


def test_the_page_shows_the_stored_simulation():
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page, tables(json.loads(MEASURED.read_text()))) == page
