"""Figures of drawn axes: numbers at their places, with a rank correlation instead of means of single values."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.plots.axes import axis_effects, heat_map, is_continuous
from analysis.rank.summary import Summary, summarize
from experiment_factory import NOW, Plan, PlannedVariant, write_experiment

RATES = [1e-4 * 1.6**number for number in range(12)]  # the larger, the worse
AXES = ["rate", "norm"]


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    variants = [
        PlannedVariant(f"v{n}", error=0.1 + 0.01 * n, axes={"rate": rate, "norm": ["batch", "layer"][n % 2]})
        for n, rate in enumerate(RATES)
    ]
    root: Path = tmp_path_factory.mktemp("drawn")
    return summarize(write_experiment(root, Plan(variants, seeds=[0], crystals=8, epochs=2, best_epoch=2)), now=NOW)


def test_many_different_numbers_are_continuous_and_few_words_are_not(summary: Summary) -> None:
    assert is_continuous(summary.variants, "rate")
    assert not is_continuous(summary.variants, "norm")
    assert not is_continuous(summary.variants[:5], "rate")


def test_drawn_axis_shows_its_rank_correlation(summary: Summary) -> None:
    plot = axis_effects(summary.variants, AXES, summary.collection.manifest.select)
    assert plot is not None
    assert "rate (ρ = +1.00)" in plot.svg


def test_drawn_axis_makes_no_heat_map(summary: Summary) -> None:
    assert heat_map(summary.variants, AXES, summary.collection.manifest.select) is None
