"""Retrieval metrics of stored rankings: how often the nearest units share attributes with their query.

CROCS (Kiyasseh et al., NeurIPS 2021) names it precision at K; it is a hit rate: one hit among the first K is
enough. Its floors are exact: random units, and a single unit returned to every query.
"""

from collections.abc import Sequence

import numpy as np

VERSION = 1
"""Raise it when any number below changes: metric views are cached by it."""

MATCHES = (1, 2, 3)
"""Numbers of equal attributes, of class, sex and age group, that count as a hit: at least so many."""


def attribute_grid(counts: tuple[int, int, int]) -> np.ndarray:
    """Every combination of attribute values, the last attribute fastest.

    Args:
        counts: number of values of each attribute.

    Returns:
        (M, 3) int64 with M the product of the counts.
    """
    return np.indices(counts).reshape(len(counts), -1).T


def matches(queries: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Number of equal attributes of every query and unit; -1, unknown, equals nothing.

    Args:
        queries: (Q, 3) attribute values.
        units: (N, 3) attribute values.

    Returns:
        (Q, N) int8, 0 to 3.

    Raises:
        ValueError: shapes do not fit.
    """
    queries, units = np.asarray(queries), np.asarray(units)
    if queries.ndim != 2 or units.ndim != 2 or queries.shape[1] != units.shape[1]:
        raise ValueError(f"queries {queries.shape} and units {units.shape} must share their attributes")
    equal = np.zeros((len(queries), len(units)), dtype=np.int8)
    for query, unit in zip(queries.T, units.T, strict=True):
        equal += (query[:, None] == unit) & (query[:, None] >= 0)
    return equal


def precision_at(matched: np.ndarray, ks: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """Hit rates: share of queries with at least m matches in at least one of their first K units.

    Args:
        matched: (Q, R) equal attributes by rank, nearest first; -1 where nothing is ranked (an undefined
            prototype, or fewer units than ranks), which is a miss.
        ks: depths K, at most R.

    Returns:
        `precision_at_K/m` for every K and m in 1, 2, 3 (3: exactly all attributes).

    Raises:
        ValueError: there is no query, or fewer ranks than K.
    """
    matched = np.asarray(matched)
    if matched.ndim != 2 or not len(matched) or matched.shape[1] < max(ks):
        raise ValueError(
            f"matched {matched.shape} must be (queries, ranks >= {max(ks)}); pad missing ranks by -1"
        )
    best = {k: matched[:, :k].max(axis=1) for k in ks}
    return {f"precision_at_{k}/{m}": float((best[k] >= m).mean()) for k in ks for m in MATCHES}


def distinct_top(units: np.ndarray) -> int:
    """Number of distinct first-ranked units over the queries: 1 if all prototypes collapsed to one place.

    Args:
        units: (Q, R) ranked units, nearest first; -1 where nothing is ranked.
    """
    first = np.asarray(units)[:, 0]
    return len(np.unique(first[first >= 0]))


def constant_query(counts: tuple[int, int, int]) -> dict[str, float]:
    """Exact hit rates at K = 1 where each combination of attributes is a query and all get the same unit.

    It does not matter which unit (of known attributes) that is; for longer lists it does, so only K = 1 is here.

    Args:
        counts: number of values of each attribute.

    Returns:
        `precision_at_1/m` for m in 1, 2, 3.
    """
    grid = attribute_grid(counts)
    return precision_at(matches(grid, grid[:1]), ks=(1,))


def random_retrieval(
    queries: np.ndarray, units: np.ndarray, ks: Sequence[int] = (1, 5, 10)
) -> dict[str, float]:
    """Exact expectation of the hit rates where each query gets K units drawn without replacement.

    Mean over queries of 1 - C(N - n, K) / C(N, K), n of the N units having at least m matches.

    Args:
        queries: (Q, 3) attribute values.
        units: (N, 3) attribute values, -1 unknown.
        ks: depths K; beyond N, all units are drawn.

    Returns:
        `precision_at_K/m` as `precision_at`.

    Raises:
        ValueError: shapes do not fit, or there is no query or unit.
    """
    matched = matches(queries, units)
    if not matched.size:
        raise ValueError(f"{len(queries)} queries and {len(units)} units; each needs at least one")
    hits = {m: (matched >= m).sum(axis=1) for m in MATCHES}
    return {
        f"precision_at_{k}/{m}": float(1 - _none_drawn(hits[m], len(units), k).mean())
        for k in ks
        for m in MATCHES
    }


def _none_drawn(hits: np.ndarray, units: int, draws: int) -> np.ndarray:
    """(Q,) probability that no draw is a hit: draw after draw, stable where binomials overflow."""
    gone = np.arange(min(draws, units))
    left = np.maximum(units - hits[:, None] - gone, 0)
    return np.asarray((left / (units - gone)).prod(axis=1))
