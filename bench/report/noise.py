"""Robustness to noise: the scores of classifiers whose test windows had physiological noise added to them.

Every model of a table met the same noise: it is seeded by record, start and lead. Level 0 is the score of the
windows as they are, at the same label fraction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import pandas as pd

from bench.report import words
from bench.report.frame import HEADLINE
from bench.report.summary import Entry, Missing, Score, Setting, Summary, missing_of, score_over_seeds
from bench.report.table import DASH, Cell, Column, Footnotes, Table, TableRow
from bench.report.tables import (
    BLOCKS,
    NOTHING,
    Key,
    difference_data,
    make_table,
    named,
    nothing_cell,
    score_cell,
)
from bench.report.views import MetricViews
from bench.run.status import Status
from bench.run.suite import Suite

DECIBELS = {1: 0.4, 2: -5.6, 3: -11.2, 4: -11.7, 5: -14.1, 6: -16.4}
"""Signal-to-noise ratio of each level, from the noise's expected power and 0.236 mV, the SD of PTB-XL's signals."""

WHAT_NOISE = (
    "Noise: baseline wander, powerline hum, muscle noise and baseline shifts, all four added to every test window, each"
    " as strong as drawn for that window up to the level's limit; the same noise for every row. Decibels:"
    " approximate ratio of PTB-XL's signals to the noise."
)


@dataclass(frozen=True)
class Noise:
    """Noisy scores of one setting.

    Attributes:
        summary: its clean scores.
        fractions: the label fraction of each row, by key.
        scores: by key and level; absent where there is no result.
        missing: by key, for one level a time.
        rows: of the frame.
    """

    summary: Summary
    levels: tuple[int, ...]
    fractions: dict[Key, float]
    scores: dict[tuple[Key, int], Score]
    missing: dict[tuple[Key, int], tuple[Missing, ...]]
    rows: pd.DataFrame = field(repr=False, compare=False)

    @property
    def setting(self) -> Setting:
        """What every number has in common."""
        return self.summary.setting

    def score(self, entry: Entry, level: int) -> Score | None:
        """The score of an entry at a level, 0 for clean windows; None where there is no result."""
        if level == 0:
            return self.summary.score(entry, self.fractions[entry.key])
        return self.scores.get((entry.key, level))

    def entries(self, origin: str = "") -> list[Entry]:
        """Rows with any score under noise, the best clean one first."""
        have = [
            entry
            for entry in self._asked()
            if any((entry.key, level) in self.scores for level in self.levels)
        ]
        chosen = [entry for entry in have if origin in ("", entry.origin)]
        return sorted(chosen, key=self._clean, reverse=True)

    def without(self) -> list[Entry]:
        """Rows that were asked for and have no score under any noise."""
        have = [entry.key for entry in self.entries()]
        return [entry for entry in self._asked() if entry.key not in have]

    def _asked(self) -> list[Entry]:
        return [entry for entry in self.summary.entries if entry.key in self.fractions]

    def _clean(self, entry: Entry) -> float:
        score = self.score(entry, 0)
        return score.seeds.mean if score else float("-inf")


def summarise_noise(frame: pd.DataFrame, summaries: Sequence[Summary], views: MetricViews) -> list[Noise]:
    """The noisy scores of every setting that has some planned.

    Args:
        frame: of `build_noise_frame`.
    """
    axes = [axis.name for axis in fields(Setting)]
    split = (rows for _, rows in frame.groupby(axes, sort=False))
    groups = {Setting(*(rows[axis].iloc[0] for axis in axes)): rows for rows in split}
    return [
        _noise(summary, groups[summary.setting], views) for summary in summaries if summary.setting in groups
    ]


def _noise(summary: Summary, rows: pd.DataFrame, views: MetricViews) -> Noise:
    tested = rows[(rows["part"] == "test") & (rows["metric"] == HEADLINE) & (rows["selection"] == "subset")]
    scores: dict[tuple[Key, int], Score] = {}
    missing: dict[tuple[Key, int], tuple[Missing, ...]] = {}
    fractions: dict[Key, float] = {}
    for _, own in tested.groupby(["label", "source", "noise"], sort=False):
        cells: list[Any] = sorted(own.itertuples(index=False), key=lambda row: row.seed_index)
        place = (cells[0].label, cells[0].source), int(cells[0].noise)
        done = [row for row in cells if row.status == Status.DONE.value]
        fractions[place[0]] = float(cells[0].fraction)
        if done:
            scores[place] = score_over_seeds(done, len(cells), views)
        missing[place] = missing_of([row for row in cells if row.status != Status.DONE.value])
    levels = tuple(sorted({level for _, level in missing}))
    return Noise(summary, levels, fractions, scores, missing, rows)


def noise_table(noise: Noise, suite: Suite, resamples: int) -> Table:
    """Every classifier, clean and at each level, and what it loses there."""
    notes = Footnotes()
    blocks = [
        *((block, noise.entries(origin)) for block, origin in BLOCKS.items()),
        (NOTHING, noise.without()),
    ]
    rows = [_row(noise, block, entry, notes) for block, entries in blocks for entry in entries]
    heads = [f"level {level} (≈ {decibels(level)} dB)" for level in noise.levels]
    columns = [Column("strategy", left=True), Column("clean"), *map(Column, heads)]
    columns += [Column(f"drop at level {level} (95\u00a0% interval)") for level in noise.levels]
    seen = sorted(set(noise.fractions.values()))
    shares = " or ".join(words.percent(fraction) for fraction in seen)
    what = f"Robustness to noise: {words.score_head(noise.summary)} at {shares} labels, mean over seeds."
    more = (
        f"{WHAT_NOISE} Drop: clean minus noisy, on the same test records; brackets:"
        f" {words.INTERVAL}, by {resamples:,} paired bootstrap resamples.{words.for_these_encoders(suite.seeds)}"
    )
    return make_table("noise", what, noise.summary, suite, tuple(columns), tuple(rows), notes, more)


def decibels(level: int) -> str:
    """Approximate signal-to-noise ratio of a level."""
    return words.gap(DECIBELS[level], scale=1)


def _row(noise: Noise, block: str, entry: Entry, notes: Footnotes) -> TableRow:
    clean = noise.score(entry, 0)
    cells, drops = [score_cell(clean, notes)], []
    data: dict[str, Any] = {**named(entry), "origin": entry.origin, "fraction": noise.fractions[entry.key]}
    data["clean"] = clean.seeds.mean if clean else None
    for level in noise.levels:
        score = noise.score(entry, level)
        lost = clean.minus(score) if clean and score else None
        reasons = [f"{m.status}: {m.reason}" for m in noise.missing.get((entry.key, level), ())]
        cells.append(score_cell(score, notes) if score else nothing_cell(reasons, notes))
        drops.append(Cell(words.with_span(lost) if lost else DASH))
        data[f"level_{level}"] = score.seeds.mean if score else None
        data |= difference_data(f"drop_{level}", lost)
    return TableRow(block, (Cell(entry.name), *cells, *drops), data)
