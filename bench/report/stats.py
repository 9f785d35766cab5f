"""The one place where uncertainty is computed. Pure functions on arrays; tables, figures and page only print them.

Two sources are not mixed. Seeds: mean and SD, or the range of two. Test patients: a bootstrap, the same resamples for
every cell of one corpus, task and split, so that differences are paired. An aggregate over blocks alone holds both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata, trim_mean

from bench.report.block_stats import MIN_BLOCKS, Components, Friedman, complete_rows, components, friedman

__all__ = [
    "LEVEL",
    "MIN_BLOCKS",
    "Aggregate",
    "Components",
    "Difference",
    "Friedman",
    "Seeds",
    "can_separate",
    "complete_rows",
    "components",
    "difference",
    "friedman",
    "holm",
    "interquartile_aggregate",
    "interquartile_mean",
    "interval",
    "mean_interval",
    "over_seeds",
    "probability_of_improvement",
    "rank_intervals",
    "ranks",
    "tie_groups",
]

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


@dataclass(frozen=True)
class Aggregate:
    """A number over blocks (corpora, say) with its bootstrap interval.

    Attributes:
        runs: scores that went in, over all blocks.
    """

    value: float
    low: float
    high: float
    runs: int
    blocks: int


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
    """(m, 2) lowest and highest rank of each of m rows, all m intervals together at `level`.

    A row's lowest rank counts the rows that are above it beyond chance, its highest leaves out those that are below
    (Mogstad et al., Review of Economic Studies 91, 2024). Percentiles of the ranks within resamples would be too narrow
    where rows are close: they stay about the ranks that this cohort happened to give.

    Args:
        draws: (m, B) means over seeds, paired; a resample in which any row is NaN is left out.
    """
    above = _above(draws, level)
    return np.stack([1 + above.sum(axis=0), len(draws) - above.sum(axis=1)], axis=1)


def _above(draws: np.ndarray, level: float) -> np.ndarray:
    """(m, m) whether row i is above row j beyond what the largest gap of any two rows reaches by chance.

    Gaps are divided by their standard deviation over resamples; by chance: around their means (Romano and Wolf,
    JASA 100, 2005, single step). All pairs together err in 1 - `level` of cohorts at most.
    """
    kept = draws[:, ~np.isnan(draws).any(axis=0)]
    far = np.zeros((len(draws), len(draws)))
    largest = np.zeros(kept.shape[1])
    for i in range(len(draws) - 1) if kept.shape[1] > 1 else ():
        gaps = kept[i] - kept[i + 1 :]
        mean, sd = gaps.mean(axis=1), gaps.std(axis=1)
        same = np.where(mean == 0, 0.0, np.copysign(np.inf, mean))  # a gap alike in all resamples
        far[i, i + 1 :] = np.divide(mean, sd, out=same, where=sd > 0)
        chance = np.abs(gaps - mean[:, None]) / np.where(sd > 0, sd, 1.0)[:, None]
        largest = np.maximum(largest, chance.max(axis=0))
    return far - far.T > (np.quantile(largest, level) if len(largest) else np.inf)


def tie_groups(means: Sequence[float], draws: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """(m,) group of each row, 0 holding the best.

    The best row left opens a group; every row left that cannot be told from it joins. Then again, until no row is left.
    Told apart: by the paired bootstrap, Holm-corrected over the rows compared with the best, and by more than the
    largest gap of any two rows reaches by chance. The second is for the best row being picked for its score: Holm
    alone splits ten equal rows in 12 % of cohorts and twenty in 21 %.

    Args:
        means: (m,) mean over seeds of each row.
        draws: (m, B), paired.
    """
    points = np.asarray(means, dtype=float)
    groups = np.full(len(points), -1)
    above = _above(draws, level)
    left = list(np.argsort(-points, kind="stable"))
    number = 0
    while left:
        leader, others = left[0], left[1:]
        tests = [difference(points[leader] - points[i], draws[[leader]], draws[[i]]) for i in others]
        apart = (holm([test.p for test in tests]) <= 1 - level) & above[leader, others]
        groups[leader] = number
        groups[[i for i, far in zip(others, apart, strict=True) if not far]] = number
        left = [i for i, far in zip(others, apart, strict=True) if far]
        number += 1
    return groups


def can_separate(rows: int, resamples: int, level: float = LEVEL) -> bool:
    """Whether the bootstrap has enough resamples for `rows` rows to be told from the best after Holm."""
    return 2 * (rows - 1) / (resamples + 1) <= 1 - level


def interquartile_mean(values: Sequence[float] | np.ndarray) -> float:
    """Mean of the middle half: of n values the n / 4 lowest and highest, rounded down, are left out.

    Source: Agarwal et al., NeurIPS 2021, section 4.3.

    Args:
        values: at least one.

    Raises:
        ValueError: there is no value, or one is NaN.
    """
    return float(trim_mean(_filled(values), 0.25))


def interquartile_aggregate(
    draws: Sequence[np.ndarray], points: Sequence[np.ndarray], generator: np.random.Generator
) -> Aggregate:
    """Interquartile mean of all runs of all blocks, with a bootstrap over seeds and test patients, within blocks.

    In each resample of the patients, each block's seeds are drawn again, and their deviations from the block's mean
    stretched by sqrt(S / (S - 1)), without which S seeds look closer than they are (Rao and Wu, JASA 83, 1988): two
    seeds by 30 %. The blocks themselves are not drawn: the interval holds for these corpora. A block with one seed
    adds nothing for seeds. Where seeds differ far more than resamples of patients do, and are two or three, the
    interval is still narrow: 95 % cover 75 % (four blocks of two seeds) or 85 % (of three).

    Paper and code: Agarwal et al. draw runs without the stretch and know no patients.

    Args:
        draws: an item a block, (S, B): column b of every seed from the same resample of patients. Columns with NaN
            (a resample without any class) are left out.
        points: an item a block, (S,), the score of each seed.
        generator: the source of randomness.

    Raises:
        ValueError: draws and points do not fit, or a point is NaN.
    """
    shapes, seeds = [block.shape for block in draws], [len(point) for point in points]
    if [shape[0] for shape in shapes] != seeds or len({shape[1] for shape in shapes}) != 1:
        raise ValueError(
            f"draws {shapes} must be (seeds, resamples): {seeds} seeds, resamples as many in each block"
        )
    picked = np.concatenate([_resample_seeds(block, generator) for block in draws])
    each = trim_mean(picked[:, ~np.isnan(picked).any(axis=0)], 0.25, axis=0)
    return Aggregate(interquartile_mean(np.concatenate(points)), *interval(each), sum(seeds), len(seeds))


def _resample_seeds(draws: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(S, B) draws of seeds picked with replacement in each column, stretched about the column's mean."""
    middle = draws.mean(axis=0)
    picked = np.take_along_axis(draws, generator.integers(len(draws), size=draws.shape), axis=0)
    return np.asarray(middle + _stretch(len(draws)) * (picked - middle))


def probability_of_improvement(
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    generator: np.random.Generator,
    resamples: int = 1000,
) -> Aggregate:
    """Chance that a run of one row scores above a run of another, a tie counting half, averaged over blocks.

    Source: Agarwal et al., NeurIPS 2021, section 4.3. The interval is for seeds alone, the test patients as they are;
    seeds are drawn within blocks, both rows on their own, the outcome stretched as in `interquartile_aggregate` and cut
    to 0..1. Where all runs of one row are above all of the other in every block no resample says otherwise; the far end
    is then the least chance with which that happens in 2.5 % of cases or more, 0.025 ** (1 / (blocks x fewest seeds)).
    Three blocks of two seeds of equal rows: 95 % cover 85 %; of three seeds, or eight blocks: 93 % or more.

    Args:
        first, second: an item a block, the same blocks, (S,) scores of the seeds; as many seeds as are not copies.
        generator: the source of randomness.
        resamples: of the seeds.

    Returns:
        `runs` counts those of both rows.

    Raises:
        ValueError: there is no block, blocks differ in number, or a block has no score or one that is NaN.
    """
    if not len(first) or len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} blocks: the same ones, at least one, are needed")
    values, drawn = [], []
    for one, other in zip(map(_filled, first), map(_filled, second), strict=True):
        wins = (np.sign(one[:, None] - other) + 1) / 2
        times = [generator.multinomial(n, np.full(n, 1 / n), size=resamples) for n in wins.shape]
        gap = np.einsum("rs,st,rt->r", times[0], wins, times[1]) / wins.size - wins.mean()
        drawn.append(wins.mean() + max(map(_stretch, wins.shape)) * gap)
        values.append(wins.mean())
    value, counts = float(np.mean(values)), [len(block) for block in (*first, *second)]
    low, high = np.clip(interval(np.mean(drawn, axis=0)), 0.0, 1.0)
    reach = ((1 - LEVEL) / 2) ** (1 / (len(values) * min(counts)))
    low, high = (reach if value == 1 else low), (1 - reach if value == 0 else high)
    return Aggregate(value, float(low), float(high), sum(counts), len(values))


def _stretch(seeds: int) -> float:
    """What makes resampled deviations of so many seeds as wide as those of the seeds' population."""
    return float(np.sqrt(seeds / (seeds - 1))) if seeds > 1 else 1.0


def _filled(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Values as floats, once there is one and none is NaN."""
    array = np.asarray(values, dtype=float)
    if not array.size or np.isnan(array).any():
        raise ValueError(f"scores must be at least one and none NaN, not {array}")
    return array
