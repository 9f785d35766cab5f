import math

import numpy as np
import pytest
from scipy.stats import chi2

from bench.report.stats import MIN_BLOCKS, Components, complete_rows, components, friedman


def _demsar() -> np.ndarray:
    """AUC of four decision trees on 14 data sets: table 6 of Demsar 2006, whose section 3.2.2 works it out."""
    return np.array(
        [
            [0.763, 0.768, 0.771, 0.798],
            [0.599, 0.591, 0.590, 0.569],
            [0.954, 0.971, 0.968, 0.967],
            [0.628, 0.661, 0.654, 0.657],
            [0.882, 0.888, 0.886, 0.898],
            [0.936, 0.931, 0.916, 0.931],
            [0.661, 0.668, 0.609, 0.685],
            [0.583, 0.583, 0.563, 0.625],
            [0.775, 0.838, 0.866, 0.875],
            [1.000, 1.000, 1.000, 1.000],
            [0.940, 0.962, 0.965, 0.962],
            [0.619, 0.666, 0.614, 0.669],
            [0.972, 0.981, 0.9751, 0.975],
            [0.957, 0.978, 0.946, 0.970],
        ]
    )


def test_friedman_as_demsar_works_it_out():
    found = friedman(_demsar())
    assert found.blocks == 14
    assert found.mean_ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert found.critical_difference == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 14)), rel=2e-4)  # 1.25
    assert found.statistic == pytest.approx(
        9.28 / (1 - (1 * 60 + 3 * 6) / (14 * 60)), rel=2e-3
    )  # ties corrected
    assert found.p == pytest.approx(chi2.sf(found.statistic, 3))
    assert found.cliques == ((3, 1, 2, 0),)


def test_friedman_by_loops():
    scores = np.random.default_rng(11).normal(np.arange(5) * 0.7, 1, (9, 5))
    found = friedman(scores)
    ranked = [[1 + sum(other > own for other in block) for own in block] for block in scores]
    sums = [sum(block[k] for block in ranked) for k in range(5)]
    statistic = 12 / (9 * 5 * 6) * sum(s**2 for s in sums) - 3 * 9 * 6
    assert found.mean_ranks == pytest.approx([s / 9 for s in sums])
    assert found.statistic == pytest.approx(statistic)
    assert found.p == pytest.approx(chi2.sf(statistic, 4))
    assert found.critical_difference == pytest.approx(
        2.728 * math.sqrt(5 * 6 / (6 * 9)), rel=2e-4
    )  # Demsar's table 5


def test_cliques_are_maximal_runs_in_the_order_of_the_mean_ranks():
    """Ranks 1..6 in six blocks: the critical difference is 2.850 sqrt(42 / 36) = 3.08, so four rows in a row."""
    order = [4, 0, 5, 2, 1, 3]
    scores = np.empty((6, 6))
    scores[:, order] = -np.arange(6.0)
    found = friedman(scores)
    assert found.critical_difference == pytest.approx(3.078, abs=2e-3)
    assert found.mean_ranks[order].tolist() == [1, 2, 3, 4, 5, 6]
    assert found.cliques == ((4, 0, 5, 2), (0, 5, 2, 1), (5, 2, 1, 3))


def test_a_row_apart_from_all_is_in_no_clique():
    scores = np.tile([0.0, 9.0, 8.0], (20, 1))
    scores[::2, 1:] = [8.0, 9.0]
    assert friedman(scores).cliques == ((1, 2),)
    assert friedman(np.tile([1.0, 2.0, 3.0], (40, 1))).cliques == ()


def test_cliques_are_the_pairs_within_the_critical_difference():
    rng = np.random.default_rng(12)
    for _ in range(10):
        found = friedman(rng.normal(np.arange(8) * 0.5, 1, (10, 8)))
        within = np.abs(found.mean_ranks[:, None] - found.mean_ranks) <= found.critical_difference
        together = {(i, j) for clique in found.cliques for i in clique for j in clique if i != j}
        assert together == {(i, j) for i in range(8) for j in range(8) if i != j and within[i, j]}
        assert not any(set(a) < set(b) for a in found.cliques for b in found.cliques)


def test_rows_that_are_equal_in_every_block_do_not_differ():
    found = friedman(np.tile(np.arange(7.0)[:, None], 4))
    assert (found.statistic, found.p, found.cliques) == (0.0, 1.0, ((0, 1, 2, 3),))
    assert found.mean_ranks.tolist() == [2.5] * 4


def test_few_blocks_or_two_rows_have_no_friedman_test():
    scores = np.random.default_rng(0).normal(size=(MIN_BLOCKS, 3))
    assert friedman(scores).blocks == MIN_BLOCKS
    assert friedman(scores[:-1]) is None
    assert friedman(scores[:, :2]) is None
    assert 2.0 ** (1 - MIN_BLOCKS) <= 0.05 < 2.0 ** (2 - MIN_BLOCKS)  # a sign test of unanimous blocks


def test_friedman_and_components_refuse_holes():
    hole = np.array([[1.0, math.nan, 2.0]] * 6)
    for use in (friedman, components):
        with pytest.raises(ValueError, match="NaN"):
            use(hole)
        with pytest.raises(ValueError, match="matrix"):
            use(np.zeros(6))


def test_components_by_hand():
    """Inits 0 and 2, subsets 0, 3 and 9, an interaction of +-1, 0 and -+1: mean squares 6, 42 and 2."""
    scores = np.array([[0.0, 3.0, 9.0], [2.0, 5.0, 11.0]]) + np.array([[1.0, 0.0, -1.0], [-1.0, 0.0, 1.0]])
    found = components(scores)
    assert found.rest_sd == pytest.approx(math.sqrt(2))
    assert found.init_sd == pytest.approx(math.sqrt((6 - 2) / 3))
    assert found.subset_sd == pytest.approx(math.sqrt((42 - 2) / 2))
    assert (found.subsets, found.inits) == (3, 2)


def test_components_without_a_part_have_none_of_it():
    by_subset = np.tile([1.0, 5.0, 3.0, 7.0], (3, 1))
    assert components(by_subset) == Components(pytest.approx(math.sqrt(20 / 3)), 0.0, 0.0, 4, 3)
    assert components(by_subset.T) == Components(0.0, pytest.approx(math.sqrt(20 / 3)), 0.0, 3, 4)
    cross = components(
        np.array([[1.0, -1.0], [-1.0, 1.0]])
    )  # nothing but the rest: both estimates are negative
    assert (cross.subset_sd, cross.init_sd, cross.rest_sd) == (0.0, 0.0, 2.0)


@pytest.mark.parametrize("shape", [(1, 3), (3, 1)])
def test_components_need_two_of_each(shape):
    with pytest.raises(ValueError, match="at least two of each"):
        components(np.zeros(shape))


def test_rows_with_every_block_may_be_averaged_together():
    blocks = {"a": ["x", "y", "z"], "b": ["y"], "c": {"z", "y", "x"}, "d": []}
    assert complete_rows(blocks) == (["a", "c"], 3)
    assert complete_rows({"a": ["x"], "b": ["y"]}) == ([], 2)  # no row has all
    assert complete_rows({}) == ([], 0)
