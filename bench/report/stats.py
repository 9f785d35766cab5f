"""The one place where uncertainty is computed. Pure functions on arrays; tables, figures and page only print them.

Two sources are never mixed. Seeds: mean and SD, or the range of two. Test patients: a bootstrap, the same resamples
for every cell of one corpus, task and split, so that differences are paired.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

LEVEL = 0.95
"""Coverage of every interval, and one minus the level of every test."""


@dataclass(frozen=True)
class Seeds:
    """A score over seeds.

    Attributes:
        sd: with n - 1 in the denominator; NaN for fewer than three seeds, whose spread is `low` to `high`.
        identical: several seeds, all with bit-identical scores: nothing random was left, so n counts one run.
    """

    mean: float
    sd: float
    low: float
    high: float
    n: int
    identical: bool = False


@dataclass(frozen=True)
class Difference:
    """A paired difference with its bootstrap interval over test patients and two-sided p-value."""

    value: float
    low: float
    high: float
    p: float


def over_seeds(values: Sequence[float], digests: Sequence[str] = ()) -> Seeds:
    """Mean and spread of one score a seed.

    Args:
        values: at least one.
        digests: a hash of each seed's scores, to find seeds that are copies of each other.
    """
    array = np.asarray(values, dtype=float)
    if not len(array):
        raise ValueError("a mean over no seeds does not exist")
    sd = float(array.std(ddof=1)) if len(array) > 2 else float("nan")
    same = len(digests) > 1 and len(set(digests)) == 1
    return Seeds(float(array.mean()), sd, float(array.min()), float(array.max()), len(array), same)


def interval(draws: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Percentile interval of bootstrap draws (B,); NaN draws (a resample without any class) are left out."""
    kept = draws[~np.isnan(draws)]
    if not len(kept):
        return float("nan"), float("nan")
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_interval(draws: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Interval over test patients of the mean over seeds.

    Args:
        draws: (S, B), one row a seed, column b of every seed from the same resample of patients.
    """
    return interval(draws.mean(axis=0), level)


def difference(value: float, first: np.ndarray, second: np.ndarray, level: float = LEVEL) -> Difference:
    """Paired bootstrap of a difference of two means over seeds, on the same records.

    The p-value doubles the smaller share of resamples on either side of zero; one is added to count and number of
    resamples (Davison and Hinkley 1997, section 4.2), so p is never 0 and its least value is 2 / (B + 1).

    Args:
        value: the difference of the two points.
        first, second: (S, B) and (S', B) draws; column b of both from the same resample.
    """
    gaps = first.mean(axis=0) - second.mean(axis=0)
    gaps = gaps[~np.isnan(gaps)]
    below, above = int((gaps <= 0).sum()), int((gaps >= 0).sum())
    p = min(1.0, 2 * (1 + min(below, above)) / (len(gaps) + 1))
    return Difference(value, *interval(gaps, level), p)


def holm(p: Sequence[float]) -> np.ndarray:
    """(m,) p-values adjusted for m tests (Holm 1979): at most level, and all errors together stay at level."""
    values = np.asarray(p, dtype=float)
    order = np.argsort(values, kind="stable")
    stepped = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(stepped)) if len(values) else stepped
    return adjusted


def ranks(means: Sequence[float]) -> np.ndarray:
    """(m,) ranks, 1 for the highest; equal means share the better rank."""
    return np.asarray(rankdata(-np.asarray(means, dtype=float), method="min"), dtype=int)


def rank_intervals(draws: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """(m, 2) lowest and highest rank of each of m rows over the resamples, at `level`.

    Args:
        draws: (m, B) means over seeds; a resample in which any row is NaN is left out.
    """
    kept = draws[:, ~np.isnan(draws).any(axis=0)]
    if not kept.shape[1]:
        return np.tile([1, len(draws)], (len(draws), 1))
    each = rankdata(-kept, method="average", axis=0)
    low, high = np.quantile(each, [(1 - level) / 2, (1 + level) / 2], axis=1)
    return np.stack([np.floor(low), np.ceil(high)], axis=1).astype(int)


def tie_groups(means: Sequence[float], draws: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """(m,) group of each row, 0 holding the best.

    The best row left opens a group; every row left that cannot be told from it joins, by the paired bootstrap,
    Holm-corrected over the rows compared with it. Then again, until no row is left.

    Args:
        means: (m,) mean over seeds of each row.
        draws: (m, B), paired.
    """
    points = np.asarray(means, dtype=float)
    groups = np.full(len(points), -1)
    left = list(np.argsort(-points, kind="stable"))
    number = 0
    while left:
        leader, others = left[0], left[1:]
        tests = [difference(points[leader] - points[i], draws[[leader]], draws[[i]]) for i in others]
        apart = holm([test.p for test in tests]) <= 1 - level
        groups[leader] = number
        groups[[i for i, far in zip(others, apart, strict=True) if not far]] = number
        left = [i for i, far in zip(others, apart, strict=True) if far]
        number += 1
    return groups


def can_separate(rows: int, resamples: int, level: float = LEVEL) -> bool:
    """Whether the bootstrap has enough resamples for `rows` rows to be told from the best after Holm."""
    return 2 * (rows - 1) / (resamples + 1) <= 1 - level
