"""Statistics across corpora: what a strategy is worth on all of a suite's settings together, and how sure that is.

The blocks are settings, a corpus and task each. The one thing to know: an average is always one over the same blocks. A
row that lacks one has none, only how many it has, and within a block ranks are among strategies that have all blocks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from scipy.stats import rankdata

from bench.report.curves import RANKED
from bench.report.frame import HEADLINE
from bench.report.stats import (
    LEVEL,
    MIN_BLOCKS,
    Aggregate,
    Friedman,
    friedman,
    interquartile_aggregate,
    probability_of_improvement,
    rank_intervals,
)
from bench.report.summary import Entry, Score, Setting, Summary, names
from bench.report.transfer import scratch_of
from bench.report.words import encoder_of, first_of
from bench.run.suite import Suite

ALL = "all"
"""Stands for the corpus, and for whatever else differs, of what is about all blocks."""

_FEWEST_ROWS = 3  # of a Friedman test; two rows are a sign test
_NO_RANK = None, float("nan"), float("nan")


@dataclass(frozen=True)
class OverallRow:
    """One entry at one label fraction, over all blocks.

    Attributes:
        present, of: blocks with a score of this entry, and blocks that there are.
        iqm: interquartile mean of all of its runs, with an interval over seeds and test patients; None where a block
            is missing.
        mean_rank: over blocks, 1 is best and ties share their mean rank; None where it is not ranked: a baseline, one
            that lacks a block, or one alone. `rank_low`, `rank_high`: its 95 % interval over test patients; else NaN.
        improvement: probability that one of its runs scores above one of `base` on the same block; None without a base.
        base: label of the row that was trained from scratch on the same labels, or else of the untrained encoder.
    """

    label: str
    name: str
    origin: str
    fraction: float
    present: int
    of: int
    iqm: Aggregate | None = None
    mean_rank: float | None = None
    rank_low: float = float("nan")
    rank_high: float = float("nan")
    improvement: Aggregate | None = None
    base: str = ""


@dataclass(frozen=True)
class Overall:
    """All entries over the settings of one suite that have the same encoder and leads.

    Attributes:
        blocks: names of the settings, as `names` gives them of all settings of the suite.
        fractions: label fractions at which every block has a result, ascending; the last is the headline.
        rows: of each fraction every strategy and baseline with a result or the want of one at it, in the suite's order.
        friedman: over the ranked strategies at the headline fraction, as `ranked` has them; None: `why_not` says why.
    """

    blocks: tuple[str, ...]
    fractions: tuple[float, ...]
    rows: tuple[OverallRow, ...]
    friedman: Friedman | None
    why_not: str

    @property
    def headline(self) -> float:
        """The largest label fraction."""
        return self.fractions[-1]

    @property
    def ranked(self) -> tuple[OverallRow, ...]:
        """Strategies that have all blocks at the headline fraction."""
        return tuple(row for row in self.at(self.headline) if row.mean_rank is not None)

    @property
    def told(self) -> str:
        """The Friedman test's result in a sentence, without its full stop, or why there is none."""
        test = self.friedman
        if test is None:
            return f"{self.why_not[:1].upper()}{self.why_not[1:]}"
        p = f"p {test.p:.3f}" if test.p >= 0.001 else "p below 0.001"
        text = (
            f"Friedman test of {len(test.mean_ranks)} strategies on {test.blocks} blocks: chi-squared"
            f" {test.statistic:.2f}, {p}; by Nemenyi's test mean ranks less than {test.critical_difference:.2f} apart"
            " cannot be told from each other"
        )
        return text if test.p < 1 - LEVEL else f"{text}; the Friedman test itself tells no strategies apart"

    def at(self, fraction: float) -> tuple[OverallRow, ...]:
        """The rows of one label fraction."""
        return tuple(row for row in self.rows if row.fraction == fraction)


@dataclass(frozen=True)
class _Block:
    """One setting.

    Attributes:
        entries: what was pre-trained here, if at all, by label.
        values: score of each finished cell by its key.
    """

    name: str
    summary: Summary
    entries: Mapping[str, Entry]
    values: Mapping[str, float]

    @classmethod
    def of(cls, name: str, summary: Summary) -> "_Block":
        own = {e.label: e for e in summary.entries if e.origin in RANKED and not e.source}
        rows = summary.rows
        tested = rows[
            (rows["metric"] == HEADLINE) & (rows["part"] == "test") & (rows["selection"] == "subset")
        ]
        return cls(name, summary, own, dict(zip(tested["key"], tested["value"], strict=True)))

    def score(self, label: str, fraction: float) -> Score | None:
        """The score of an entry over all seeds; None also where a seed is missing or no class could be scored.

        With fewer runs on one block an average over runs would lean to the others.
        """
        entry = self.entries.get(label)
        score = entry.scores.get((fraction, "subset")) if entry else None
        whole = score is not None and score.seeds.n == score.wanted and not np.isnan(score.seeds.mean)
        return score if whole else None

    def wants(self, label: str, fraction: float) -> bool:
        """Was an entry asked for at a fraction, whatever became of it?"""
        entry = self.entries.get(label)
        if entry is None:
            return False
        return (fraction, "subset") in entry.scores or any(fraction in m.fractions for m in entry.missing)

    def points(self, score: Score) -> np.ndarray:
        """(S,) the score of each seed."""
        return np.array([self.values[key] for key in score.keys], dtype=float)

    def fractions(self) -> set[float]:
        """Label fractions at which any entry has a score."""
        asked = {f for entry in self.entries.values() for f, _ in entry.scores}
        return {f for f in asked if any(self.score(label, f) for label in self.entries)}


def overall(summaries: Sequence[Summary], suite: Suite) -> list[Overall]:
    """Statistics over each group of settings, of two corpora or more, that have the same encoder and leads.

    Args:
        summaries: of all settings of one suite, in macro AUROC.

    Returns:
        One a group that has a label fraction at which every block has a result.

    Raises:
        ValueError: the scores are of another metric.
    """
    other = {summary.metric for summary in summaries} - {HEADLINE}
    if other:
        raise ValueError(f"statistics across corpora are of {HEADLINE}, not of {other.pop()}")
    groups: dict[tuple[str | bool, ...], list[_Block]] = {}
    for name, summary in zip(names(summaries), summaries, strict=True):
        s = summary.setting
        alike = (s.scale, s.simulated, s.encoder, s.lead_set, s.eval_lead_set)
        groups.setdefault(alike, []).append(_Block.of(name, summary))
    several = (blocks for blocks in groups.values() if _corpora(blocks) > 1)
    return [_overall(blocks, suite) for blocks in several if _fractions(blocks)]


def blocks_of(overall: Overall, summaries: Sequence[Summary]) -> list[Summary]:
    """The settings behind an average.

    Args:
        summaries: those from which it was made, all of them.
    """
    found = dict(zip(names(summaries), summaries, strict=True))
    return [found[name] for name in overall.blocks]


def together(overall: Overall, summaries: Sequence[Summary]) -> Summary:
    """All blocks as one summary; of its setting, what differs among them is 'all'.

    Args:
        summaries: those from which it was made, all of them.
    """
    blocks = blocks_of(overall, summaries)
    settings, first = [block.setting for block in blocks], blocks[0]
    differ = [f.name for f in fields(Setting) if len({getattr(s, f.name) for s in settings}) > 1]
    entries: dict[str, Entry] = {}
    for block in blocks:
        for entry in block.entries:
            if entry.origin in RANKED and not entry.source:
                entries.setdefault(entry.label, entry)
    counts = {name: sum(getattr(block, name) for block in blocks) for name in ("records", "units")}
    shared: dict[str, Any] = dict.fromkeys(differ, ALL)
    setting = replace(settings[0], **shared)
    return replace(
        first, setting=setting, fractions=overall.fractions, entries=tuple(entries.values()), **counts
    )


def _corpora(blocks: Sequence[_Block]) -> int:
    return len({block.summary.setting.corpus for block in blocks})


def _fractions(blocks: Sequence[_Block]) -> tuple[float, ...]:
    """Label fractions at which every block has a result, ascending."""
    return tuple(sorted(set.intersection(*(block.fractions() for block in blocks))))


def _overall(blocks: Sequence[_Block], suite: Suite) -> Overall:
    fractions = _fractions(blocks)
    rows = tuple(row for fraction in fractions for row in _rows(blocks, fraction, suite))
    headline = [row for row in rows if row.fraction == fractions[-1]]
    ranked = [row.label for row in headline if row.mean_rank is not None]
    why_not = _why_not(blocks, len(ranked))
    scores = [_scores(blocks, label, fractions[-1]) for label in ranked if not why_not]
    means = np.array([[score.seeds.mean for score in own] for own in scores]).T
    test = None if why_not else friedman(means)
    return Overall(tuple(block.name for block in blocks), fractions, rows, test, why_not)


def _rows(blocks: Sequence[_Block], fraction: float, suite: Suite) -> list[OverallRow]:
    """Every entry that any block was asked for at this fraction."""
    every = {label: entry for block in blocks for label, entry in block.entries.items()}
    labels = [label for label in every if any(block.wants(label, fraction) for block in blocks)]
    scores = {label: _scores(blocks, label, fraction) for label in labels}
    complete = [label for label in labels if len(scores[label]) == len(blocks)]
    places = _mean_ranks([label for label in complete if every[label].origin == "strategy"], scores)
    rows = []
    for label in labels:
        own, entry = scores[label], every[label]
        row = OverallRow(label, entry.name, entry.origin, fraction, len(own), len(blocks))
        if label in complete:
            rank, low, high = places.get(label, _NO_RANK)
            row = replace(row, mean_rank=rank, rank_low=low, rank_high=high)
            base = _base(blocks[0], suite, label, complete)
            row = _averaged(replace(row, base=base), blocks, own, scores.get(base, []), suite)
        rows.append(row)
    return rows


def _averaged(
    row: OverallRow, blocks: Sequence[_Block], own: Sequence[Score], base: Sequence[Score], suite: Suite
) -> OverallRow:
    """A row with its averages; every row draws the same random numbers, and no row changes another's.

    Seeds that are copies count as often in the interquartile mean as other seeds, so that blocks weigh alike.

    Args:
        own, base: scores of the row and of what it is to improve on, one a block; none of the latter: no base.
    """
    runs, draws = _points(blocks, own), [score.draws for score in own]
    average = interquartile_aggregate(draws, runs, np.random.default_rng(suite.seed))
    if not base:
        return replace(row, iqm=average)
    both = _distinct(blocks, own), _distinct(blocks, base)
    better = probability_of_improvement(*both, np.random.default_rng(suite.seed))
    return replace(row, iqm=average, improvement=better)


def _scores(blocks: Sequence[_Block], label: str, fraction: float) -> list[Score]:
    """Of the blocks that have one."""
    return [score for block in blocks if (score := block.score(label, fraction))]


def _points(blocks: Sequence[_Block], scores: Sequence[Score]) -> list[np.ndarray]:
    return [block.points(score) for block, score in zip(blocks, scores, strict=True)]


def _distinct(blocks: Sequence[_Block], scores: Sequence[Score]) -> list[np.ndarray]:
    """(S,) a block; of seeds that are copies of each other one."""
    runs = zip(_points(blocks, scores), scores, strict=True)
    return [points[:1] if score.seeds.identical else points for points, score in runs]


def _mean_ranks(
    labels: Sequence[str], scores: Mapping[str, Sequence[Score]]
) -> dict[str, tuple[float, float, float]]:
    """Mean rank over blocks of each label with its interval; of one alone there is none.

    The interval is the mean over blocks of the rank intervals within a block: conservative. Percentiles of resampled
    mean ranks would hold the true one too seldom where rows are close (see `rank_intervals`).

    Args:
        scores: of each block by label, in macro AUROC.
    """
    if len(labels) < 2:
        return {}
    by_block = list(zip(*(scores[label] for label in labels), strict=True))
    points = np.mean([rankdata([-score.seeds.mean for score in block]) for block in by_block], axis=0)
    level = 1 - (1 - LEVEL) / len(by_block)  # all blocks together
    spans = [
        rank_intervals(np.stack([score.draws.mean(axis=0) for score in block]), level) for block in by_block
    ]
    low, high = np.mean(spans, axis=0).T
    found = zip(points.tolist(), low.tolist(), high.tolist(), strict=True)
    return dict(zip(labels, found, strict=True))


def _base(block: _Block, suite: Suite, label: str, complete: Iterable[str]) -> str:
    """Label of what a row is to improve on, among those that have all blocks; empty where there is none but itself.

    The row that was trained from scratch on the same labels with the row's encoder; else that encoder, untrained.
    """
    entry = block.entries[label]
    scratch = scratch_of(block.summary, suite, entry)
    found = [scratch.label] if scratch else []
    if label in found:
        return ""
    found += [one.label for one in block.entries.values() if _untrained(one) and _alike(one, entry, suite)]
    return next((one for one in found if one in complete and one != label), "")


def _untrained(entry: Entry) -> bool:
    """Is it a control that embeds with an encoder which took no step?"""
    cost = entry.cost
    return entry.origin == "baseline" and cost["steps"] == 0 and cost["parameters"] == cost["parameters"]


def _alike(one: Entry, other: Entry, suite: Suite) -> bool:
    """Same encoder, same label fractions; and `one` starts from no other fit."""
    own = first_of(suite, one.label) == one.label and one.fractions_by == other.fractions_by
    return own and encoder_of(suite, one.label) == encoder_of(suite, other.label)


def _why_not(blocks: Sequence[_Block], rows: int) -> str:
    """Why there is no Friedman test of so many ranked rows; empty where there is one."""
    if _corpora(blocks) < len(blocks):
        return "no Friedman test: it takes independent blocks, and some of these are of one corpus"
    if len(blocks) < MIN_BLOCKS:
        return f"too few blocks for a Friedman test: {len(blocks)}, at least {MIN_BLOCKS}"
    if rows < _FEWEST_ROWS:
        return f"too few strategies with all blocks for a Friedman test: {rows}, at least {_FEWEST_ROWS}"
    return ""
