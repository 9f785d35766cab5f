"""Cost against quality: which rows are worth their training, and who is best where all rows spend the same.

A row is on the frontier where no other costs as little and is better, or costs less and is as good. Costs are of
training: all steps of the row's fit and of those it starts from. Rows that train no encoder have no place here, since
their training is their read-out's, which nothing counts; a random encoder has one, at no FLOPs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median_low
from typing import Any

from bench.report import words
from bench.report.curves import RANKED
from bench.report.stats import Difference
from bench.report.summary import Entry, Summary
from bench.report.table import DASH, Cell, Column, Footnotes, Table, TableRow
from bench.report.tables import (
    Key,
    Standing,
    difference_data,
    make_table,
    named,
    score_cell,
    score_data,
    standings,
)
from bench.run.suite import Suite

ALIKE = 0.05
"""Share of the reference by which the FLOPs of rows may differ that are ranked at equal compute."""

COUNTED = (
    "FLOPs: of convolutions, matrix products and recurrent layers, forward and backward, of all training steps of the"
    " fit and of those that it starts from; read-outs, validation losses and embeddings of the training set that a"
    " strategy asks for between steps are not counted"
)
"""What FLOPs are, for captions."""

_ORDERED, _UNCOUNTED = "by FLOPs", "FLOPs not counted: not on the frontier, and dominates nobody"
_ALONE = "No other strategy spends as much: there is nothing to rank it against"


@dataclass(frozen=True)
class Point:
    """A row with its cost and its score.

    Attributes:
        key: label and source.
        cost: in the unit of its column; score: mean over seeds at the headline fraction, not times 100.
        dominated_by: key of the row on the frontier that is better, or as good, for no more; None on the frontier.
    """

    key: Key
    name: str
    cost: float
    score: float
    dominated_by: Key | None = None

    @property
    def on_frontier(self) -> bool:
        """Does no other row dominate it?"""
        return self.dominated_by is None


def frontier(summary: Summary, cost: str = "flops") -> tuple[Point, ...]:
    """Every strategy and control with a headline score and this cost, the cheapest first, of two the better first.

    What was pre-trained on another corpus or saw test ECGs is not compared.

    Args:
        cost: a column of the frame's `COST_COLUMNS`.
    """
    points = []
    for entry in summary.ranked(*RANKED):
        score, spent = summary.score(entry), cost_of(entry, cost)
        if score and spent == spent:
            points.append(Point(entry.key, entry.name, spent, score.seeds.mean))
    found, best = list[Point](), None
    for point in sorted(points, key=lambda point: (point.cost, -point.score)):
        if best is None or point.score > best.score or (point.cost, point.score) == (best.cost, best.score):
            best = point
        found.append(point if point is best else replace(point, dominated_by=best.key))
    return tuple(found)


def cost_of(entry: Entry, cost: str = "flops") -> float:
    """A cost of an entry; NaN where it is not known, and where the entry trains no encoder."""
    trains = entry.cost.get("parameters", float("nan")) > 0
    return entry.cost.get(cost, float("nan")) if trains else float("nan")


def uncounted(summary: Summary, cost: str = "flops") -> list[Entry]:
    """Strategies and controls with a headline score but without this cost, the best first."""
    return [entry for entry in summary.ranked(*RANKED) if cost_of(entry, cost) != cost_of(entry, cost)]


@dataclass(frozen=True)
class Equal:
    """The ranking at equal compute.

    Attributes:
        reference: FLOPs, the median of the ranked rows.
        spent: by key, as multiples of the reference.
        standings: of the strategies that spend as much; none where one alone does.
    """

    reference: float
    spent: dict[Key, float]
    standings: dict[Key, Standing]

    def alike(self, key: Key) -> bool:
        """Does a row spend as much as the reference?"""
        return abs(self.spent.get(key, float("inf")) - 1) <= ALIKE + 1e-9


def equal_compute(summary: Summary) -> Equal | None:
    """Strategies that spend the same FLOPs, ranked among themselves; None where no strategy's are known.

    The reference is the median of the ranked rows', the lower of two.
    """
    flops = {point.key: point.cost for point in frontier(summary)}
    ranked = [flops[entry.key] for entry in summary.ranked("strategy") if entry.key in flops]
    reference = median_low(ranked) if ranked else 0.0
    if not ranked or not reference:
        return None
    found = Equal(reference, {key: own / reference for key, own in flops.items()}, {})
    among = tuple(entry for entry in summary.entries if found.alike(entry.key))
    return replace(found, standings=standings(replace(summary, entries=among), summary.headline))


def frontier_table(summary: Summary, suite: Suite, resamples: int) -> Table | None:
    """Rows by FLOPs with what they cost and reach, and ranks at equal compute; None where fewer than two have FLOPs."""
    points, notes = frontier(summary), Footnotes()
    if len(points) < 2:
        return None
    equal, by_key = equal_compute(summary), {entry.key: entry for entry in summary.entries}
    rows = [_row(summary, by_key[point.key], _ORDERED, point, equal, notes) for point in points]
    rows += [_row(summary, entry, _UNCOUNTED, None, equal, notes) for entry in uncounted(summary)]
    what = (
        f"Cost against quality: {words.score_head(summary)} at {words.percent(summary.headline)} labels, mean over"
        " seeds, by the FLOPs of training."
    )
    more = _explained(suite, equal, len(uncounted(summary)), resamples)
    return make_table("cost_frontier", what, summary, suite, _columns(equal), tuple(rows), notes, more)


def _columns(equal: Equal | None) -> tuple[Column, ...]:
    heads = ["FLOPs", "fit seconds", "peak MiB", "encoder parameters", words.SCORE, words.INTERVAL]
    ranks = ("× reference", f"rank at equal FLOPs ({words.INTERVAL})") if equal else ()
    first, behind = Column("strategy", left=True), Column("on the frontier, or behind", left=True)
    return (first, *map(Column, heads), behind, *map(Column, ranks))


def _row(
    summary: Summary, entry: Entry, block: str, point: Point | None, equal: Equal | None, notes: Footnotes
) -> TableRow:
    score, standing = summary.score(entry), equal.standings.get(entry.key) if equal else None
    low, high = score.interval if score else (float("nan"),) * 2
    behind = _behind(summary, entry, point)
    cells = [Cell(entry.name), *map(Cell, _cost_shown(entry)), score_cell(score, notes, standing)]
    cells += [Cell(words.span(low, high)), Cell(_behind_shown(summary, point, behind))]
    data: dict[str, Any] = {**named(entry), "origin": entry.origin, **entry.cost, "flops": cost_of(entry)}
    data |= score_data(score)
    by = summary.entry(*point.dominated_by) if point and point.dominated_by else None
    data |= {"on_frontier": point.on_frontier if point else None, "dominated_by": by.label if by else ""}
    data |= difference_data("minus_dominating", behind)
    if equal:
        cells += [Cell(_times(equal, entry)), _rank_cell(entry, equal, notes)]
        data |= {"times_reference": equal.spent.get(entry.key)}
        ranks = (standing.rank, standing.low, standing.high) if standing else (None,) * 3
        data |= dict(zip(("equal_rank", "equal_rank_low", "equal_rank_high"), ranks, strict=True))
    return TableRow(block, tuple(cells), data)


def _cost_shown(entry: Entry) -> Sequence[str]:
    took = {name: entry.cost.get(name, float("nan")) for name in ("seconds", "peak_memory_mib", "parameters")}
    shown = (
        words.seconds(took["seconds"]),
        words.size(took["peak_memory_mib"]),
        words.size(took["parameters"]),
    )
    return words.size(cost_of(entry)), *shown


def _behind(summary: Summary, entry: Entry, point: Point | None) -> Difference | None:
    """A dominated row minus the row that dominates it, on the same test records."""
    by = summary.entry(*point.dominated_by) if point and point.dominated_by else None
    score, other = summary.score(entry), summary.score(by) if by else None
    return score.minus(other) if score and other else None


def _behind_shown(summary: Summary, point: Point | None, behind: Difference | None) -> str:
    if point is None:
        return DASH
    by = summary.entry(*point.dominated_by) if point.dominated_by else None
    return f"{by.name}: {words.with_span(behind)}" if by and behind else "on it"


def _times(equal: Equal, entry: Entry) -> str:
    """How many times the reference an entry spends."""
    spent = equal.spent.get(entry.key)
    return DASH if spent is None else f"{spent:.2f}" if spent < 10 else f"{spent:,.0f}"


def _rank_cell(entry: Entry, equal: Equal, notes: Footnotes) -> Cell:
    """A rank with its interval; a dash for controls and for what spends another amount."""
    standing = equal.standings.get(entry.key)
    if standing:
        return Cell(f"{standing.rank} ({standing.low}–{standing.high})")
    alone = entry.origin == "strategy" and equal.alike(entry.key)
    return Cell(notes=notes(_ALONE if alone else ""))


def _explained(suite: Suite, equal: Equal | None, left: int, resamples: int) -> str:
    """What the columns mean."""
    text = (
        f"{COUNTED}. Frontier: no other row costs as little and is better, or costs less and is as good; strategies and"
        " controls that train an encoder, or leave it at random, pre-trained where they are evaluated. Behind: the best"
        f" row that costs no more, and the difference from it with its {words.INTERVAL} ({resamples:,} paired bootstrap"
        " resamples, not corrected for the number of rows): a row is told apart from it where that leaves out zero."
    )
    if left:
        text += (
            f" {words.counted(left, 'row')} without FLOPs: an encoder is not trained, or its fit is not here."
        )
    if equal is None:
        return text
    return (
        f"{text} Equal FLOPs: strategies within {words.percent(ALIKE)} of the reference, {words.size(equal.reference)}"
        " (the median of the ranked rows), are ranked among themselves; bold: their best, underlined: second, † not"
        f" separable from the best (as on the board).{words.for_these_encoders(suite.seeds)}"
    )
