import pytest

from analysis.rank.significance import tie
from runner.rundir.planned import Select


@pytest.mark.parametrize(("value", "tied"), [(0.2099, True), (0.21, True), (0.2101, False)])
def test_an_error_ties_within_a_share_of_the_best(value, tied):
    assert tie(value, 0.2, Select()).tied == tied


@pytest.mark.parametrize("metric", ["val_accuracy", "val_auc", "val_f1", "val_r2", "val_corr"])
@pytest.mark.parametrize(("value", "tied"), [(0.9796, True), (0.9785, False), (0.95, False)])
def test_a_score_ties_within_a_share_of_what_is_left_to_one(metric, value, tied):
    found = tie(value, 0.98, Select(metric, "max"))
    assert found.tied == tied
    assert not tied or found.reason == "within 5 % of 1 − the best"


def test_a_negative_r2_ties_within_a_share_of_its_distance_to_one():
    assert tie(-0.25, -0.2, Select("val_r2", "max")).tied
    assert not tie(-0.27, -0.2, Select("val_r2", "max")).tied


def test_a_score_in_percent_is_bounded_by_100():
    assert not tie(91.0, 93.5, Select("val_acc", "max")).tied
    assert tie(93.2, 93.5, Select("val_acc", "max")).tied


def test_a_maximised_metric_without_a_bound_ties_within_a_share_of_the_best():
    assert tie(9.6, 10.0, Select("val_throughput", "max")).tied
    assert not tie(9.4, 10.0, Select("val_throughput", "max")).tied


def test_within_0_percent_ties_equals_alone():
    exact = Select(within=0.0)
    assert tie(0.3, 0.1 + 0.2, exact).tied
    assert not tie(0.3001, 0.3, exact).tied


def test_a_best_error_of_zero_ties_with_zero_alone():
    assert tie(0.0, 0.0, Select()).tied
    assert tie(0.01, 0.0, Select()).reason == "behind the best"
