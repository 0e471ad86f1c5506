import pytest

from analysis.rank.choice import Choice
from analysis.rank.comparison import BaselineComparison, few_seeds, shown_lines, smallest_visible_effect
from analysis.rank.statistics import Interval, holm


def interval(p=0.01, seeds=3, pooled=False, low=-0.02, high=-0.01):
    return Interval((low + high) / 2, low, high, p, seeds, "paired", pooled)


def comparison(name, p, adjusted, **changes):
    return BaselineComparison(name, -0.1, interval(p, **changes), -0.2, 0.0, adjusted, 9)


def test_holm_multiplies_the_smallest_p_by_all_and_the_largest_by_one():
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_one_comparison_is_not_corrected():
    assert holm([0.03]) == pytest.approx([0.03])


@pytest.mark.parametrize(("adjusted", "words"), [(0.049, "beyond the noise"), (0.05, "inside the noise")])
def test_three_seeds_claim_below_5_percent(adjusted, words):
    assert interval().verdict(adjusted) == words


def test_two_seeds_are_indicative_unless_pooled():
    assert interval(seeds=2).verdict(1e-9).startswith("indicative")
    assert interval(seeds=2, pooled=True).verdict(1e-9) == "beyond the noise"


def test_one_seed_is_of_the_items_alone():
    assert "items alone" in interval(seeds=1).verdict(1e-9)


def test_a_difference_is_judged_by_its_corrected_p():
    assert not comparison("v", 0.01, 0.09).is_beyond_noise
    assert "p = 0.09 for 9 comparisons): inside the noise" in comparison("v", 0.01, 0.09).sentence


def test_a_claim_that_seeds_do_not_allow_is_none():
    assert not comparison("v", 1e-9, 1e-9, seeds=2).is_beyond_noise


def test_the_smallest_visible_effect_is_the_median_half_width():
    halves = [BaselineComparison(str(half), 0, interval(), -half, half, 1.0) for half in (0.1, 0.3, 0.2)]
    assert smallest_visible_effect([*halves, BaselineComparison("none", 0, None, None, None)]) == pytest.approx(0.2)
    assert smallest_visible_effect([]) is None


def test_seeds_are_few_where_no_difference_may_be_claimed():
    assert few_seeds([comparison("v", 0.01, 0.01, seeds=1), BaselineComparison("w", 0, None, None, None)])
    assert not few_seeds([comparison("v", 0.01, 0.01, seeds=1), comparison("w", 0.9, 0.9, seeds=3)])
    assert not few_seeds([])  # one variant: nothing is compared


def test_the_choice_and_the_best_are_shown_first_then_what_is_beyond_the_noise():
    all_of_them = [comparison(name, 0.001, 0.009) for name in "abcdefgh"] + [comparison("x", 0.5, 0.9)]
    lines = shown_lines(all_of_them, Choice("x", "h", ("h", "x"), {}, ""))
    assert [line.split(":")[0] for line in lines] == [
        "h",
        "x",
        "a",
        "b",
        "c",
        "d",
        "e",
        "… and 2 more variants beyond the noise",
    ]
