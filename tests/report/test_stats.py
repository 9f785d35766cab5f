import math

import numpy as np
import pytest
from scipy.stats import trim_mean

from bench.report.stats import (
    can_separate,
    difference,
    holm,
    interquartile_aggregate,
    interquartile_mean,
    interval,
    mean_interval,
    over_seeds,
    probability_of_improvement,
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


def test_rank_intervals_count_the_rows_that_are_above_and_below_beyond_chance():
    rng = np.random.default_rng(5)
    means = np.array([3.0, 8.0, 2.9, 0.0])
    assert rank_intervals(means[:, None] + rng.normal(0, 0.3, (4, 999))).tolist() == [
        [2, 3],
        [1, 1],
        [2, 3],
        [4, 4],
    ]


def test_rank_intervals_reject_a_gap_just_where_the_largest_gap_of_any_pair_does():
    rng = np.random.default_rng(6)
    base = rng.normal(0, [[1.0], [2.0], [1.0], [3.0]], (4, 400)) + rng.normal(0, 1, 400)
    pairs = [(i, j) for i in range(4) for j in range(i)]
    spread = {(i, j): np.std(base[i] - base[j]) for i, j in pairs}
    largest = [
        max(abs((base[i] - base[j])[b] - np.mean(base[i] - base[j])) / spread[i, j] for i, j in pairs)
        for b in range(400)
    ]
    limit = np.quantile(largest, 0.95) * spread[1, 0] + np.mean(base[1] - base[0])
    for factor, apart in ((0.999, False), (1.001, True)):
        far = np.array([[factor * limit], [0.0], [500.0], [-500.0]])
        assert rank_intervals(base + far).tolist()[:2] == ([[2, 2], [3, 3]] if apart else [[2, 3], [2, 3]])


def test_rank_intervals_of_rows_that_differ_by_the_same_in_every_resample():
    draws = np.tile(np.arange(8.0), (3, 1)) + np.array([[0.0], [1.0], [0.0]])
    assert rank_intervals(draws).tolist() == [[2, 3], [1, 1], [2, 3]]


def test_tie_groups_open_at_the_best_row_left():
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 1, (5, 999))
    means = np.array([0.0, 10.0, 10.2, 20.0, 0.1])
    assert tie_groups(means, means[:, None] + noise).tolist() == [2, 1, 1, 0, 2]


def test_a_wide_row_ties_with_the_best_though_a_narrow_one_below_it_does_not():
    rng = np.random.default_rng(2)
    best, narrow, wide = rng.normal(3, 0.1, 999), rng.normal(2, 0.1, 999), rng.normal(1, 3, 999)
    assert tie_groups([3, 2, 1], np.stack([best, narrow, wide])).tolist() == [0, 1, 0]


def test_tie_groups_heed_that_the_best_was_picked_for_its_score():
    """A gap that Holm takes for real over ten rows, 3 standard deviations; the range of ten equal ones reaches 3.2."""
    noise = np.random.default_rng(7).normal(0, math.sqrt(0.5), (10, 10_000))
    noise -= noise.mean(axis=1, keepdims=True)
    means = np.array([3.0, *np.full(8, 1.5), 0.0])
    draws = means[:, None] + noise
    p = [difference(3.0 - means[i], draws[:1], draws[[i]]).p for i in range(1, 10)]
    assert holm(p)[-1] <= 0.05
    assert set(tie_groups(means, draws)) == {0}
    assert tie_groups(1.2 * means, 1.2 * means[:, None] + noise).tolist() == [0] * 9 + [1]


def test_too_few_resamples_cannot_separate_many_rows():
    assert can_separate(26, 1000)
    assert not can_separate(27, 1000)
    draws = np.arange(5.0)[:, None] * 9 + np.random.default_rng(0).normal(0, 1, (5, 159))
    assert can_separate(5, 159)
    assert tie_groups([0, 9, 18, 27, 36], draws).tolist() == [4, 3, 2, 1, 0]
    assert not can_separate(5, 158)
    assert tie_groups([0, 9, 18, 27, 36], draws[:, :158]).tolist() == [0] * 5


def test_interquartile_mean_leaves_out_a_quarter_on_either_side():
    assert interquartile_mean([0.0, 100.0, 4.0, 2.0]) == 3.0
    assert interquartile_mean([9.0, 1.0, 2.0]) == 4.0  # a quarter of three is no whole value
    values = np.random.default_rng(0).normal(size=21)
    assert interquartile_mean(values) == pytest.approx(np.sort(values)[5:16].mean())


@pytest.mark.parametrize("values", [[], [0.5, math.nan, 0.7, 0.8]])
def test_interquartile_mean_of_nothing_or_of_a_hole_is_an_error(values):
    with pytest.raises(ValueError, match="NaN"):
        interquartile_mean(values)


def test_interquartile_aggregate_against_a_loop():
    rng = np.random.default_rng(8)
    draws = [rng.normal(k, 1, (seeds, 200)) for k, seeds in enumerate((3, 2, 1))]
    points = [d.mean(axis=1) for d in draws]
    found = interquartile_aggregate(draws, points, np.random.default_rng(9))
    again = np.random.default_rng(9)
    picks = [again.integers(len(d), size=d.shape) for d in draws]
    each = []
    for b in range(200):
        scores = []
        for d, pick in zip(draws, picks, strict=True):
            middle = sum(d[:, b]) / len(d)
            stretch = math.sqrt(len(d) / (len(d) - 1)) if len(d) > 1 else 0.0
            scores += [middle + stretch * (d[s, b] - middle) for s in pick[:, b]]
        each.append(trim_mean(scores, 0.25))
    assert found.value == pytest.approx(trim_mean(np.concatenate(points), 0.25))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(each, [0.025, 0.975])))
    assert (found.runs, found.blocks) == (6, 3)


def test_interquartile_aggregate_of_one_seed_holds_the_patients_alone():
    draws = [np.linspace(0, 1, 1001)[None], np.linspace(0, 1, 1001)[None]]
    found = interquartile_aggregate(draws, [np.array([0.4]), np.array([0.6])], np.random.default_rng(0))
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.025, 0.975))


def test_interquartile_aggregate_spreads_two_seeds_as_wide_as_their_population():
    """Both picks alike, the mean is off by sqrt(2) of half the gap: variance 1 / 2 x 2 is that of two runs' mean."""
    points = [np.array([0.0, 2.0])]
    found = interquartile_aggregate([np.tile(points[0][:, None], 5000)], points, np.random.default_rng(0))
    assert (found.value, found.low, found.high) == pytest.approx((1, 1 - math.sqrt(2), 1 + math.sqrt(2)))


def test_interquartile_aggregate_leaves_out_resamples_without_a_score():
    draws = [np.array([[1.0, math.nan, 3.0]]), np.array([[1.0, 50.0, 3.0]])]
    found = interquartile_aggregate(draws, [np.array([2.0]), np.array([2.0])], np.random.default_rng(0))
    assert (found.low, found.high) == pytest.approx((1.05, 2.95))
    draws = [np.full((2, 3), math.nan)]
    found = interquartile_aggregate(draws, [np.array([2.0, 2.0])], np.random.default_rng(0))
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_interquartile_aggregate_wants_draws_that_fit_the_points():
    rng = np.random.default_rng(0)
    two = [np.zeros(2), np.zeros(2)]
    for draws in (
        [np.zeros((2, 9))],
        [np.zeros((2, 9)), np.zeros((3, 9))],
        [np.zeros((2, 9)), np.zeros((2, 8))],
    ):
        with pytest.raises(ValueError, match="must be"):
            interquartile_aggregate(draws, two, rng)
    with pytest.raises(ValueError, match="NaN"):
        interquartile_aggregate([np.zeros((2, 9))], [np.array([0.5, math.nan])], rng)


def test_probability_of_improvement_counts_pairs_and_half_of_ties():
    first, second = [np.array([1.0, 3.0]), np.array([5.0])], [np.array([2.0, 3.0, 0.0]), np.array([5.0, 6.0])]
    found = probability_of_improvement(first, second, np.random.default_rng(0))
    assert found.value == pytest.approx(((1 + 2.5) / 6 + 0.5 / 2) / 2)
    assert (found.runs, found.blocks) == (8, 2)
    turned = probability_of_improvement(second, first, np.random.default_rng(0))
    assert turned.value == pytest.approx(1 - found.value)


def test_probability_of_improvement_resamples_seeds_within_blocks():
    first, second = (
        [np.array([1.0, 4.0, 2.0]), np.array([0.0, 7.0])],
        [np.array([3.0, 0.5]), np.array([6.0, 1.0])],
    )
    found = probability_of_improvement(first, second, np.random.default_rng(3), resamples=300)
    again, each = np.random.default_rng(3), np.zeros(300)
    for one, other, stretch in zip(first, second, (math.sqrt(2), math.sqrt(2)), strict=True):
        share = np.mean([x > y for x in one for y in other])
        times = [again.multinomial(n, [1 / n] * n, size=300) for n in (len(one), len(other))]
        for r in range(300):
            ones, others = np.repeat(one, times[0][r]), np.repeat(other, times[1][r])
            drawn = np.mean([x > y for x in ones for y in others])
            each[r] += (share + stretch * (drawn - share)) / 2
    assert (found.low, found.high) == pytest.approx(tuple(np.clip(np.quantile(each, [0.025, 0.975]), 0, 1)))
    assert 0 <= found.low < found.value < found.high <= 1


def test_probability_of_improvement_where_every_run_wins_is_not_sure():
    high, low = (
        [np.array([2.0, 3.0]), np.array([2.0, 3.0, 4.0])],
        [np.array([0.0, 1.0]), np.array([0.0, 1.0])],
    )
    found = probability_of_improvement(high, low, np.random.default_rng(0))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low**4 == pytest.approx(0.025)  # two blocks of two wins, each at that chance
    found = probability_of_improvement(low, high, np.random.default_rng(0))
    assert (found.value, found.low) == (0.0, 0.0)
    assert (1 - found.high) ** 4 == pytest.approx(0.025)


@pytest.mark.parametrize(
    ("first", "second"), [([], []), ([[1.0]], []), ([[1.0]], [[]]), ([[1.0]], [[math.nan]])]
)
def test_probability_of_improvement_is_over_the_same_blocks(first, second):
    with pytest.raises(ValueError, match="blocks|NaN"):
        probability_of_improvement(first, second, np.random.default_rng(0))
