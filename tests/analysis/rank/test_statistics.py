import numpy as np
import pytest
from scipy import stats

from analysis.rank.statistics import (
    SeedVariance,
    mean_sd,
    paired_interval,
    paired_t,
    pooled_seed_variance,
    two_way,
)


def includes_zero(interval):
    return interval.low <= 0 <= interval.high


def test_mean_sd_is_the_sample_standard_deviation():
    found = mean_sd([1.0, 2.0, 4.0])
    assert found.mean == pytest.approx(7 / 3)
    assert found.sd == pytest.approx(stats.tstd([1.0, 2.0, 4.0]))
    assert found.n == 3


def test_one_seed_has_no_standard_deviation():
    assert mean_sd([0.3]).sd is None
    assert mean_sd([]) is None


def test_one_seed_gives_the_t_interval_of_the_items():
    losses, other = np.random.default_rng(1).gamma(2.0, 0.05, (2, 1, 60))
    ours = paired_interval(losses, other)
    theirs = stats.ttest_rel(losses[0], other[0])
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert (ours.p, ours.seeds, ours.method) == (pytest.approx(theirs.pvalue), 1, "paired over 60 items of one seed")


def test_the_variance_is_that_of_a_balanced_random_effects_model():
    random = np.random.default_rng(2)
    values = random.normal(0, 1, (4, 30)) + random.normal(0, 2, 30) + np.array([[0.0], [0.5], [1.0], [3.0]])
    ours = two_way(values)
    rows, columns = values.mean(1), values.mean(0)
    residual = values - rows[:, None] - columns + values.mean()
    squares = 30 * rows.var(ddof=1), 4 * columns.var(ddof=1), (residual**2).sum() / (3 * 29)
    assert ours.error**2 == pytest.approx((squares[0] + squares[1] - squares[2]) / 120)
    satterthwaite = (sum(squares[:2]) - squares[2]) ** 2 / (squares[0] ** 2 / 3 + squares[1] ** 2 / 29)
    assert ours.degrees == pytest.approx(satterthwaite)


@pytest.mark.parametrize("seeds_vary", [False, True])
def test_where_one_source_of_noise_is_identical_the_other_remains(seeds_vary):
    values = np.random.default_rng(3).normal(0, 1, 40)
    ours = two_way(np.tile(values[:, None], 50) if seeds_vary else np.tile(values, (3, 1)))
    assert (ours.error, ours.degrees) == pytest.approx((stats.sem(values), 39))


def test_the_interval_of_a_root_mean_square_agrees_with_a_bootstrap():
    random = np.random.default_rng(3)
    losses, other = random.normal(0, 0.1, (2, 1, 200)) ** 2

    def difference(a, b, axis):
        return np.sqrt(a.mean(axis=axis)) - np.sqrt(b.mean(axis=axis))

    ours = paired_interval(losses, other, root=True)
    theirs = stats.bootstrap(
        (losses[0], other[0]), difference, paired=True, vectorized=True, n_resamples=9999, method="percentile",
        random_state=np.random.default_rng(2),
    ).confidence_interval  # fmt: skip
    assert ours.difference == pytest.approx(float(losses.mean() ** 0.5 - other.mean() ** 0.5))
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * (theirs.high - theirs.low))
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * (theirs.high - theirs.low))


def test_a_root_of_perfect_predictions_has_no_spread():
    assert includes_zero(paired_interval(np.zeros((2, 5)), np.zeros((2, 5)), root=True))


def test_seeds_that_disagree_widen_the_interval():
    items = np.random.default_rng(5).normal(0, 0.001, (3, 200))
    agreeing = paired_interval(items + 0.01, np.zeros((3, 200)))
    disagreeing = paired_interval(items + np.array([[-0.05], [0.01], [0.07]]), np.zeros((3, 200)))
    assert not includes_zero(agreeing)
    assert includes_zero(disagreeing)


def test_an_interval_excludes_zero_exactly_where_p_is_below_5_percent():
    random = np.random.default_rng(6)
    for shift in (0.0, 0.01, 0.02, 0.03):
        interval = paired_interval(random.normal(shift, 0.1, (3, 80)), np.zeros((3, 80)))
        assert (interval.p < 0.05) == (not includes_zero(interval))


def test_what_does_not_pair_is_refused():
    with pytest.raises(ValueError, match="must pair up"):
        paired_interval(np.zeros((1, 3)), np.zeros((1, 4)))
    with pytest.raises(ValueError, match="needs two"):
        paired_t([0.1], [0.2])


def test_the_pooled_seed_variance_is_that_of_the_variants_without_what_all_share():
    random = np.random.default_rng(7)
    values = random.normal(0, 0.01, (400, 2)) + random.normal(0, 1, (400, 1)) + np.array([[0.0, 0.5]])
    pooled = pooled_seed_variance(values)
    assert pooled.variance == pytest.approx(1e-4, rel=0.15)
    assert pooled.degrees == 399


@pytest.mark.parametrize(("variants", "known"), [(5, False), (6, True)])
def test_six_variants_are_needed_to_pool_the_seed_variance(variants, known):
    values = np.random.default_rng(8).normal(0, 1, (variants, 2))
    assert (pooled_seed_variance(values) is not None) == known


def test_a_pooled_variance_replaces_that_of_two_seeds():
    losses = np.array([[0.1] * 20, [0.3] * 20])
    alone = paired_interval(losses, np.zeros((2, 20)))
    pooled = paired_interval(losses, np.zeros((2, 20)), pooled=SeedVariance(1e-4, 11))
    assert includes_zero(alone)
    assert not alone.allows_claims
    half = stats.t(11).ppf(0.975) * (2 * 1e-4 / 2) ** 0.5
    assert (pooled.low, pooled.high) == pytest.approx((0.2 - half, 0.2 + half))
    assert pooled.allows_claims
    assert pooled.method.endswith("seed variance pooled")


@pytest.mark.parametrize(("seeds", "allowed"), [(1, False), (2, False), (3, True)])
def test_claims_need_three_seeds(seeds, allowed):
    assert paired_interval(np.ones((seeds, 9)), np.zeros((seeds, 9))).allows_claims == allowed


def test_paired_t_agrees_with_scipy():
    values, other = [0.11, 0.13, 0.12, 0.15], [0.10, 0.11, 0.13, 0.12]
    ours = paired_t(values, other)
    theirs = stats.ttest_rel(values, other).confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
