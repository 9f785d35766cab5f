"""Statistics over blocks (corpora, say) and over crossed seeds; import them from `bench.report.stats`, the one door.

A number over blocks is one over the same blocks for every row: `complete_rows` says which rows may share a table.
"""

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.stats import friedmanchisquare, rankdata, studentized_range

ERROR = 0.05
"""Of the Friedman test and of all of Nemenyi's pairs together."""

MIN_BLOCKS = 6
"""Fewer blocks than this are too few for ranks over blocks.

A row that beats another in every one of N blocks does so by chance with probability 2 ** (1 - N), both sides: with five
blocks even that is no evidence at 5 %, with six it is. The chi-squared approximation holds its level from there on;
Demsar (JMLR 7, 2006, section 3.2.2) asks for more than ten blocks, and more are better.
"""

K = TypeVar("K", bound=Hashable)
B = TypeVar("B", bound=Hashable)


@dataclass(frozen=True)
class Friedman:
    """Do rows differ, over blocks, and which cannot be told apart (Demsar, JMLR 7, 2006, section 3.2.2).

    Attributes:
        statistic: chi-squared with m - 1 degrees of freedom, corrected for ties.
        p: of the statistic.
        mean_ranks: (m,) over blocks, 1 for the highest score; ties share their mean rank.
        critical_difference: of two mean ranks, by Nemenyi: q sqrt(m (m + 1) / (6 N)).
        cliques: rows that Nemenyi cannot tell apart, by mean rank, maximal, of two or more.
        blocks: N.
    """

    statistic: float
    p: float
    mean_ranks: np.ndarray
    critical_difference: float
    cliques: tuple[tuple[int, ...], ...]
    blocks: int


@dataclass(frozen=True)
class Components:
    """What two sources add to the spread of a score, as standard deviations.

    Attributes:
        subset_sd: of the draw of the label subset.
        init_sd: of the initialisation.
        rest_sd: of their interaction and all else.
        subsets, inits: how many of each were crossed.
    """

    subset_sd: float
    init_sd: float
    rest_sd: float
    subsets: int
    inits: int


def complete_rows(blocks: Mapping[K, Collection[B]]) -> tuple[list[K], int]:
    """The rows that may be averaged over blocks together: those that have every block that any row has.

    Args:
        blocks: the blocks each row has.

    Returns:
        The complete rows, in their order; and N, the number of all blocks: another row has "n of N".
    """
    every = set().union(*map(set, blocks.values()))
    return [row for row, have in blocks.items() if set(have) == every], len(every)


def friedman(scores: np.ndarray) -> Friedman | None:
    """Friedman's test and Nemenyi's comparisons of all pairs.

    Blocks should be independent: two label fractions of one corpus share its test patients and are not. The pairs are
    usually read only where the Friedman test itself is significant.

    A clique's outermost rows have a Nemenyi p of at least 0.05 (scikit-posthocs), which is the same as mean ranks that
    differ by less than the critical difference but for a difference that equals it within the rounding of the
    studentized range: p, which decides, and the drawn difference could then disagree.

    Args:
        scores: (N, m) of m rows in N blocks, higher is better.

    Returns:
        None if there are fewer than `MIN_BLOCKS` blocks or three rows.

    Raises:
        ValueError: scores are no matrix, or one is NaN.
    """
    scores = _matrix(scores)
    blocks, rows = scores.shape
    if blocks < MIN_BLOCKS or rows < 3:
        return None
    mean_ranks = rankdata(-scores, axis=1).mean(axis=0)
    statistic, p = 0.0, 1.0
    if (scores != scores[:, :1]).any():  # else the correction for ties divides 0 by 0
        statistic, p = map(float, friedmanchisquare(*scores.T))
    quantile = studentized_range.ppf(1 - ERROR, rows, np.inf) / np.sqrt(2)
    difference = float(quantile * np.sqrt(rows * (rows + 1) / (6 * blocks)))
    return Friedman(statistic, p, mean_ranks, difference, _cliques(scores, mean_ranks), blocks)


def _cliques(scores: np.ndarray, mean_ranks: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Maximal runs in the order of the mean ranks whose first and last row cannot be told apart."""
    from scikit_posthocs import posthoc_nemenyi_friedman

    order = np.argsort(mean_ranks, kind="stable")
    p = posthoc_nemenyi_friedman(scores).to_numpy()[np.ix_(order, order)]
    cliques: list[tuple[int, ...]] = []
    reached = 0
    for first in range(len(order)):
        last = int(np.flatnonzero(p[first] >= ERROR).max())
        if last > max(first, reached):
            cliques.append(tuple(map(int, order[first : last + 1])))
            reached = last
    return tuple(cliques)


def components(scores: np.ndarray) -> Components:
    """Variance components of the label-subset draw and of the initialisation, by the method of moments.

    Two-way crossed random-effects analysis of variance without replication: the expected mean squares are solved for
    the components, a negative estimate is set to 0 (Searle, Casella and McCulloch, Variance Components, 1992,
    chapter 4). The interaction cannot be told from what else is random and is part of the rest.

    Args:
        scores: (inits, subsets), crossed, one score a cell.

    Raises:
        ValueError: fewer than two of either, or a score is NaN.
    """
    scores = _matrix(scores)
    inits, subsets = scores.shape
    if inits < 2 or subsets < 2:
        raise ValueError(f"{inits} initialisations x {subsets} subsets: at least two of each tell them apart")
    by_init, by_subset = scores.mean(axis=1, keepdims=True), scores.mean(axis=0, keepdims=True)
    rest = ((scores - by_init - by_subset + scores.mean()) ** 2).sum() / ((inits - 1) * (subsets - 1))
    init = max(0.0, by_init.var(ddof=1) - rest / subsets)
    subset = max(0.0, by_subset.var(ddof=1) - rest / inits)
    return Components(float(np.sqrt(subset)), float(np.sqrt(init)), float(np.sqrt(rest)), subsets, inits)


def _matrix(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 2 or np.isnan(scores).any():
        raise ValueError(
            f"scores {scores.shape} must be a matrix without NaN: keep rows that have every block"
        )
    return scores
