import numpy as np
import pytest
from scipy import stats

from analysis.statistics import grouped, mean_sd, paired_bootstrap, paired_t


def test_mean_sd_is_the_sample_standard_deviation():
    found = mean_sd([1.0, 2.0, 4.0])
    assert found.mean == pytest.approx(7 / 3)
    assert found.sd == pytest.approx(stats.tstd([1.0, 2.0, 4.0]))
    assert found.n == 3


def test_one_seed_has_no_standard_deviation():
    assert mean_sd([0.3]).sd is None
    assert mean_sd([]) is None


def test_bootstrap_over_crystals_agrees_with_scipy():
    random = np.random.default_rng(1)
    losses, other = np.abs(random.normal(0.1, 0.03, (2, 1, 60)))
    ours = paired_bootstrap(losses, other, resamples=20_000)
    theirs = stats.bootstrap(
        ((losses - other)[0],), np.mean, n_resamples=20_000, method="percentile", random_state=np.random.default_rng(2)
    )
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.03 * width)
    assert ours.difference == pytest.approx((losses - other).mean())


def test_bootstrap_of_a_root_mean_square_agrees_with_scipy():
    random = np.random.default_rng(3)
    losses, other = random.normal(0, 0.1, (2, 1, 80)) ** 2

    def difference(a, b, axis):
        return np.sqrt(a.mean(axis=axis)) - np.sqrt(b.mean(axis=axis))

    ours = paired_bootstrap(losses, other, root=True, resamples=20_000)
    theirs = stats.bootstrap(
        (losses[0], other[0]), difference, paired=True, vectorized=True, n_resamples=20_000, method="percentile",
        random_state=np.random.default_rng(2),
    ).confidence_interval  # fmt: skip
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * (theirs.high - theirs.low))
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * (theirs.high - theirs.low))


def test_bootstrap_covers_a_known_difference_as_often_as_it_says():
    random = np.random.default_rng(4)
    covered = 0
    for _ in range(300):
        losses = random.normal(0.0, 1.0, (1, 100))
        interval = paired_bootstrap(losses, np.zeros((1, 100)), resamples=500)
        covered += interval.low <= 0 <= interval.high
    assert 0.90 <= covered / 300 <= 0.98


def test_resampled_seeds_have_the_standard_error_of_their_mean():
    shifts = np.array([[0.1], [0.4], [0.2], [0.9]])
    interval = paired_bootstrap(shifts + np.zeros((4, 50)), np.zeros((4, 50)), resamples=20_000)
    assert (interval.high - interval.low) / (2 * 1.96) == pytest.approx(stats.sem(shifts)[0], rel=0.05)


def test_seeds_that_disagree_widen_the_bootstrap():
    crystals = np.random.default_rng(5).normal(0, 0.001, (3, 200))
    agreeing = paired_bootstrap(crystals + 0.01, np.zeros((3, 200)))
    disagreeing = paired_bootstrap(crystals + np.array([[-0.05], [0.01], [0.07]]), np.zeros((3, 200)))
    assert not agreeing.includes_zero
    assert disagreeing.includes_zero


def test_bootstrap_refuses_losses_that_do_not_pair():
    with pytest.raises(ValueError, match="must pair up"):
        paired_bootstrap(np.zeros((1, 3)), np.zeros((1, 4)))


@pytest.mark.parametrize("crystals", [2001, 5999, 20_000])
def test_grouping_many_crystals_keeps_mean_and_standard_error(crystals):
    losses = np.random.default_rng(6).exponential(1.0, (1, crystals))
    groups = grouped(losses)
    assert 999 <= groups.shape[1] <= 2000
    assert groups.mean() == pytest.approx(losses.mean(), rel=0.01)
    errors = [values.std(ddof=1) / values.shape[1] ** 0.5 for values in (groups, losses)]
    assert errors[0] == pytest.approx(errors[1], rel=0.1)


def test_paired_t_agrees_with_scipy():
    values, other = [0.11, 0.13, 0.12, 0.15], [0.10, 0.11, 0.13, 0.12]
    ours = paired_t(values, other)
    theirs = stats.ttest_rel(values, other).confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_paired_t_refuses_one_seed():
    with pytest.raises(ValueError, match="needs two"):
        paired_t([0.1], [0.2])
