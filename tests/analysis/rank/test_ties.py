import pytest

from analysis.rank.significance import tie
from runner.rundir.planned import Select


@pytest.mark.parametrize(
    ("value", "best", "select", "tied"),
    [
        (0.2099, 0.2, Select(), True),  # an error ties within a share of the best
        (0.21, 0.2, Select(), True),
        (0.2101, 0.2, Select(), False),
        (-0.25, -0.2, Select("val_r2", "max"), True),  # a share of its distance to one
        (-0.27, -0.2, Select("val_r2", "max"), False),
        (91.0, 93.5, Select("val_acc", "max"), False),  # a score in percent is bounded by 100
        (93.2, 93.5, Select("val_acc", "max"), True),
        (9.6, 10.0, Select("val_throughput", "max"), True),  # without a bound, a share of the best
        (9.4, 10.0, Select("val_throughput", "max"), False),
        (0.3, 0.1 + 0.2, Select(within=0.0), True),  # within 0 % equals alone
        (0.3001, 0.3, Select(within=0.0), False),
        (0.0, 0.0, Select(), True),  # a best error of zero ties with zero alone
        (0.01, 0.0, Select(), False),
    ],
)
def test_what_is_tied_with_the_best(value, best, select, tied):
    assert tie(value, best, select).tied == tied


@pytest.mark.parametrize("metric", ["val_accuracy", "val_auc", "val_f1", "val_r2", "val_corr"])
@pytest.mark.parametrize(("value", "tied"), [(0.9796, True), (0.9785, False), (0.95, False)])
def test_a_score_ties_within_a_share_of_what_is_left_to_one(metric, value, tied):
    found = tie(value, 0.98, Select(metric, "max"))
    assert found.tied == tied
    assert not tied or found.reason == "within 5 % of 1 − the best"


def test_what_is_not_tied_with_zero_is_behind_it():
    assert tie(0.01, 0.0, Select()).reason == "behind the best"
