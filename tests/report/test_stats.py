import math

import numpy as np
import pytest

from bench.metrics.classification import bootstrap_macro_auroc, macro_auroc, patient_resamples
from bench.report.stats import (
    can_separate,
    difference,
    holm,
    interval,
    mean_interval,
    over_seeds,
    rank_intervals,
    ranks,
    tie_groups,
)


def test_two_seeds_have_a_range_and_no_sd():
    seeds = over_seeds([0.8, 0.9])
    assert (seeds.mean, seeds.low, seeds.high, seeds.n) == (pytest.approx(0.85), 0.8, 0.9, 2)
    assert math.isnan(seeds.sd)


def test_three_seeds_have_the_sample_sd():
    seeds = over_seeds([1.0, 2.0, 6.0])
    assert seeds.mean == 3.0
    assert seeds.sd == pytest.approx(math.sqrt((4 + 1 + 9) / 2))


def test_seeds_that_are_copies_are_flagged():
    assert over_seeds([0.7, 0.7], ["a", "a"]).identical
    assert not over_seeds([0.7, 0.7], ["a", "b"]).identical
    assert not over_seeds([0.7], ["a"]).identical


def test_no_seeds_have_no_mean():
    with pytest.raises(ValueError, match="no seeds"):
        over_seeds([])


def test_interval_is_the_central_95_percent_and_skips_nan():
    draws = np.concatenate([np.arange(1001.0), [np.nan] * 5])
    assert interval(draws) == pytest.approx((25, 975))
    assert all(map(math.isnan, interval(np.array([np.nan]))))


def test_mean_interval_averages_seeds_within_each_resample():
    first, second = np.arange(1001.0), np.arange(1001.0)[::-1]
    assert mean_interval(np.stack([first, second])) == pytest.approx((500, 500))


def test_difference_counts_the_smaller_side_and_adds_one():
    first = np.array([[3.0, 3.0, 3.0, 1.0]])
    second = np.array([[2.0, 2.0, 2.0, 2.0]])
    found = difference(0.5, first, second)
    assert found.value == 0.5
    assert found.p == pytest.approx(2 * (1 + 1) / 5)  # one of four resamples on the other side of zero


def test_difference_of_equals_has_p_one_and_is_least_at_two_over_b_plus_one():
    draws = np.ones((1, 99))
    assert difference(0.0, draws, draws).p == 1.0
    assert difference(1.0, draws + 1, draws).p == pytest.approx(0.02)


def test_difference_is_antisymmetric():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.1, 1, (2, 500)), rng.normal(0, 1, (3, 500))
    one, other = difference(0.1, first, second), difference(-0.1, second, first)
    assert one.p == other.p
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]).tolist() == pytest.approx([1.0, 1.0])
    assert holm([]).tolist() == []


def test_ranks_share_the_better_place():
    assert ranks([0.5, 0.9, 0.5, 0.1]).tolist() == [2, 1, 2, 4]


def test_rank_intervals_of_rows_that_never_and_always_swap():
    rng = np.random.default_rng(0)
    coin = np.where(rng.random(1000) < 0.5, 1.0, -1.0)
    draws = np.stack([np.full(1000, 9.0), coin, -coin, np.full(1000, np.nan)])
    assert rank_intervals(draws[:3]).tolist() == [[1, 1], [2, 3], [2, 3]]
    assert rank_intervals(draws).tolist() == [[1, 4]] * 4  # no resample has all four


def test_tie_groups_open_at_the_best_row_left():
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 1, (5, 999))
    means = np.array([0.0, 10.0, 10.2, 20.0, 0.1])
    assert tie_groups(means, means[:, None] + noise).tolist() == [2, 1, 1, 0, 2]


def test_a_wide_row_ties_with_the_best_though_a_narrow_one_below_it_does_not():
    rng = np.random.default_rng(2)
    best, narrow, wide = rng.normal(3, 0.1, 999), rng.normal(2, 0.1, 999), rng.normal(1, 3, 999)
    assert tie_groups([3, 2, 1], np.stack([best, narrow, wide])).tolist() == [0, 1, 0]


def test_too_few_resamples_cannot_separate_many_rows():
    assert can_separate(26, 1000)
    assert not can_separate(27, 1000)


def _cohort(rng: np.random.Generator, count: int, shift: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets, and the scores of two equally good models that share half of their noise."""
    positive = np.arange(count) % 3 == 0
    shared = rng.normal(0, 1, count)
    scores = [shift * positive + shared + rng.normal(0, 1, count) for _ in range(2)]
    return np.stack([positive, ~positive], 1), *(np.stack([s, -s], 1) for s in scores)


def test_interval_covers_the_true_auroc_in_about_95_percent_of_cohorts():
    rng = np.random.default_rng(3)
    shift = 1.4
    truth = 0.5 * (1 + math.erf(shift / 2 / math.sqrt(2)))  # Phi(shift / 2): four unit variances in a pair
    covered = 0
    for _ in range(300):
        targets, scores, _ = _cohort(rng, 150, shift)
        weights = patient_resamples(np.arange(150), 300, rng)
        low, high = interval(bootstrap_macro_auroc(targets, scores, weights))
        covered += low <= truth <= high
    assert 0.90 <= covered / 300 <= 0.985


def test_equal_models_are_told_apart_in_about_5_percent_of_cohorts():
    rng = np.random.default_rng(4)
    wrong = 0
    for _ in range(300):
        targets, one, two = _cohort(rng, 150, 1.4)
        weights = patient_resamples(np.arange(150), 300, rng)
        draws = [bootstrap_macro_auroc(targets, scores, weights)[None] for scores in (one, two)]
        gap = macro_auroc(targets, one)[0] - macro_auroc(targets, two)[0]
        wrong += difference(gap, *draws).p <= 0.05
    assert 0.01 <= wrong / 300 <= 0.09
