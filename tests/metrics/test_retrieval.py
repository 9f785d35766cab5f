"""Retrieval metrics against explicit loops, hand values, enumeration, and the specification's floors."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics.retrieval import (
    attribute_grid,
    constant_query,
    distinct_top,
    matches,
    precision_at,
    random_retrieval,
)

CHAPMAN, PTBXL = (4, 2, 4), (5, 2, 4)


def _case(seed: int, queries: int = 6, units: int = 25) -> tuple[np.ndarray, np.ndarray]:
    """Attributes of queries and units, some unknown."""
    generator = np.random.default_rng(seed)
    drawn = [generator.integers(-1, n, queries + units) for n in (4, 2, 3)]
    both = np.stack(drawn, axis=1)
    return both[:queries], both[queries:]


def _units(marginals: list[list[float]], count: int = 40_000) -> np.ndarray:
    """(count, 3) units with independent attributes in given proportions."""
    generator = np.random.default_rng(0)
    drawn = [generator.choice(len(p), size=count, p=np.array(p) / np.sum(p)) for p in marginals]
    return np.stack(drawn, axis=1)


def test_grid_has_every_combination_last_attribute_fastest() -> None:
    expected = list(itertools.product(range(4), range(2), range(4)))
    assert [tuple(row) for row in attribute_grid(CHAPMAN).tolist()] == expected
    assert attribute_grid(PTBXL).shape == (40, 3)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_matches_equal_a_loop_and_unknown_matches_nothing(seed: int) -> None:
    queries, units = _case(seed)
    counted = matches(queries, units)
    assert counted.shape == (6, 25)
    for q, n in itertools.product(range(6), range(25)):
        expected = sum(a == b and a != -1 for a, b in zip(queries[q], units[n], strict=True))
        assert counted[q, n] == expected


def test_matches_need_the_same_attributes() -> None:
    with pytest.raises(ValueError, match=r"queries \(2, 3\) and units \(5, 2\)"):
        matches(np.zeros((2, 3)), np.zeros((5, 2)))


def test_precision_by_hand() -> None:
    matched = np.array([[1, 0, 3], [2, 2, 2], [0, 1, 0], [-1, -1, -1]])
    values = precision_at(matched, ks=(1, 3))
    assert values == {
        "precision_at_1/1": 0.5,
        "precision_at_1/2": 0.25,
        "precision_at_1/3": 0.0,
        "precision_at_3/1": 0.75,
        "precision_at_3/2": 0.5,
        "precision_at_3/3": 0.25,
    }


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_precision_equals_a_loop_and_grows_with_depth(seed: int) -> None:
    matched = np.random.default_rng(seed).integers(-1, 4, (7, 12))
    values = precision_at(matched)
    for k, m in itertools.product((1, 5, 10), (1, 2, 3)):
        hits = [any(row[r] >= m for r in range(k)) for row in matched.tolist()]
        assert values[f"precision_at_{k}/{m}"] == pytest.approx(sum(hits) / 7)
    for m in (1, 2, 3):
        assert (
            values[f"precision_at_1/{m}"] <= values[f"precision_at_5/{m}"] <= values[f"precision_at_10/{m}"]
        )


def test_too_few_ranks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"matched \(2, 5\) must be \(queries, ranks >= 10\)"):
        precision_at(np.zeros((2, 5), int))


def test_distinct_top_ignores_queries_without_a_ranking() -> None:
    assert distinct_top(np.array([[7, 1], [7, 2], [3, 7], [-1, -1]])) == 2
    assert distinct_top(np.full((3, 2), -1)) == 0


@pytest.mark.parametrize(
    ("counts", "percent"), [(CHAPMAN, (71.875, 25.0, 3.125)), (PTBXL, (70.0, 22.5, 2.5)), ((2, 3, 4), None)]
)
def test_constant_query_is_exact(counts: tuple[int, int, int], percent: tuple[float, ...] | None) -> None:
    c, s, a = counts
    total, none = c * s * a, (c - 1) * (s - 1) * (a - 1)
    formula = ((total - none) / total, (c + s + a - 2) / total, 1 / total)
    values = constant_query(counts)
    assert list(values) == ["precision_at_1/1", "precision_at_1/2", "precision_at_1/3"]
    assert tuple(values.values()) == pytest.approx(formula)
    if percent:
        assert [100 * value for value in values.values()] == pytest.approx(percent)


@pytest.mark.parametrize("counts", [CHAPMAN, PTBXL])
def test_constant_query_does_not_depend_on_the_unit(counts: tuple[int, int, int]) -> None:
    grid = attribute_grid(counts)
    expected = constant_query(counts)
    for unit in grid:
        assert precision_at(matches(grid, unit[None]), ks=(1,)) == pytest.approx(expected)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), depth=st.integers(1, 4))
def test_random_retrieval_is_the_mean_over_every_choice_of_units(seed: int, depth: int) -> None:
    queries, units = _case(seed, queries=4, units=7)
    matched = matches(queries, units)
    choices = [matched[:, list(c)] for c in itertools.combinations(range(7), depth)]
    values = random_retrieval(queries, units, ks=(depth,))
    for m in (1, 2, 3):
        expected = np.mean([(choice >= m).any(axis=1).mean() for choice in choices])
        assert values[f"precision_at_{depth}/{m}"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("counts", "shares", "of_five", "of_ten"),
    [
        (
            CHAPMAN,
            [[0.2095, 0.217, 0.357, 0.2165], [0.532, 0.468], [0.263, 0.247, 0.249, 0.241]],
            (0.998, 0.759, 0.147),
            (1.0, 0.939, 0.270),
        ),
        (
            PTBXL,
            [[0.1045, 0.033, 0.156, 0.558, 0.148], [0.5, 0.5], [0.25] * 4],
            (0.997, 0.687, 0.114),
            (1.0, 0.885, 0.206),
        ),
    ],
)
def test_random_retrieval_has_the_specification_s_values(
    counts: tuple[int, int, int],
    shares: list[list[float]],
    of_five: tuple[float, ...],
    of_ten: tuple[float, ...],
) -> None:
    values = random_retrieval(attribute_grid(counts), _units(shares))
    for m in (1, 2, 3):
        one = constant_query(counts)[f"precision_at_1/{m}"]
        assert values[f"precision_at_1/{m}"] == pytest.approx(one)  # whatever the marginals
        assert values[f"precision_at_5/{m}"] == pytest.approx(of_five[m - 1], abs=0.002)
        assert values[f"precision_at_10/{m}"] == pytest.approx(of_ten[m - 1], abs=0.002)


@pytest.mark.parametrize(("counts", "percent"), [(CHAPMAN, (14.7, 27.2)), (PTBXL, (11.9, 22.4))])
def test_random_retrieval_among_uniform_attributes(
    counts: tuple[int, int, int], percent: tuple[float, ...]
) -> None:
    grid = attribute_grid(counts)
    values = random_retrieval(grid, np.tile(grid, (500, 1)))
    for k, expected in zip((5, 10), percent, strict=True):
        assert 100 * values[f"precision_at_{k}/3"] == pytest.approx(expected, abs=0.05)
        assert values[f"precision_at_{k}/3"] == pytest.approx(1 - (1 - 1 / len(grid)) ** k, abs=1e-3)


def test_random_retrieval_at_the_ends() -> None:
    units = np.array([[0, 0, 0], [1, 1, 1], [0, 1, 1]])
    queries = np.array([[0, 0, 0], [-1, -1, -1]])
    values = random_retrieval(queries, units, ks=(3, 1000))
    for k in (3, 1000):  # all units are drawn: certain for the first query, impossible for the undefined one
        assert [values[f"precision_at_{k}/{m}"] for m in (1, 2, 3)] == [0.5, 0.5, 0.5]
    many = random_retrieval(queries[:1], np.tile(units, (40_000, 1)), ks=(50_000,))
    assert many["precision_at_50000/3"] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="1 queries and 0 units"):
        random_retrieval(queries[:1], units[:0])
