"""The board's tables: ranking, selection, comparisons with the controls, classes, and what has no result.

Only strategies are ranked. Controls and floors stand below them, entries without any result below those.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bench.report import words
from bench.report.frame import HEADLINE
from bench.report.stats import can_separate, difference, holm, rank_intervals, ranks, tie_groups
from bench.report.summary import Entry, Score, Summary
from bench.report.table import Cell, Column, Footnotes, Table, TableRow
from bench.run.suite import Suite

STRATEGIES, CONTROLS, NOTHING = "strategies", "controls and floors (not ranked)", "no result"

_ALL_VALIDATION = "selected on all validation labels"
_MOST_CLASSES = 15  # more would not fit a page


@dataclass(frozen=True)
class Standing:
    """Where a strategy stands at one label fraction: rank, its 95 % interval, tie group from 0."""

    rank: int
    low: int
    high: int
    group: int


def standings(summary: Summary, fraction: float, selection: str = "subset") -> dict[str, Standing]:
    """Standing of every strategy with a score, by label."""
    scored = [(e, summary.score(e, fraction, selection)) for e in summary.entries if e.origin == "strategy"]
    present = [(entry, score) for entry, score in scored if score]
    if not present:
        return {}
    means = [score.seeds.mean for _, score in present]
    draws = np.stack([score.draws.mean(axis=0) for _, score in present])
    columns = zip(ranks(means), rank_intervals(draws), tie_groups(means, draws), strict=True)
    return {
        entry.label: Standing(int(rank), int(low), int(high), int(group))
        for (entry, _), (rank, (low, high), group) in zip(present, columns, strict=True)
    }


def board(summary: Summary, suite: Suite, resamples: int) -> Table:
    """Every strategy at every label fraction, with rank, uncertainty, supervision and cost."""
    notes = Footnotes()
    at = {fraction: standings(summary, fraction) for fraction in summary.fractions}
    second = _second_selection(summary)
    scores = [score for entry in summary.entries if (score := summary.score(entry))]
    rows = [
        _board_row(summary, entry, block, at, second, notes)
        for block, entries in _blocks(summary)
        for entry in entries
    ]
    head = f"{words.SCORE} at {words.percent(summary.headline)} labels, mean over seeds"
    columns = [Column("rank (95 % interval)"), Column("tie group"), Column("strategy", left=True), Column(head)]
    columns += [Column(words.spread_head(scores)), Column("95 % interval over test patients")]
    columns += [Column(f"at {words.percent(fraction)}") for fraction in summary.fractions[:-1]]
    columns += [Column(f"at {words.percent(second)}, {_ALL_VALIDATION}")] if second else []
    columns += [Column("paid for in training", left=True), Column("needs at test", left=True)]
    columns += [Column(head) for head in ("views", "lead-samples", "fit seconds", "encoder parameters")]
    what = "Every strategy, one encoder, one budget: macro one-vs-rest AUROC on the test part."
    text = f"{words.caption(what, summary, suite)} {_explained(summary, resamples)}"
    return Table("board", text, tuple(columns), tuple(rows), tuple(notes.texts), context(summary))


def _explained(summary: Summary, resamples: int) -> str:
    text = (
        f"Intervals, ranks and tie groups: {resamples:,} bootstrap resamples of the test patients, shared by all rows,"
        " of the mean over seeds; the spread over seeds stands apart. † not separable from the column's best"
        " (paired bootstrap, Holm-corrected); a tie group holds what cannot be told from its best."
        " Everything was chosen on the label fraction's own validation records unless a column says otherwise."
        " Paid for: what a strategy reads in training beside the signal; the probe's labels are not counted."
    )
    if not can_separate(len(summary.ranked("strategy")), resamples):
        text += f" {resamples:,} resamples are too few to separate so many strategies."
    return text


def _second_selection(summary: Summary) -> float | None:
    """The smallest label fraction below the headline at which anything was selected on all validation labels."""
    have = {fraction for entry in summary.entries for fraction, selection in entry.scores if selection == "all"}
    return min(have - {summary.headline}, default=None)


def _blocks(summary: Summary) -> list[tuple[str, list[Entry]]]:
    return [
        (STRATEGIES, summary.ranked("strategy")),
        (CONTROLS, summary.ranked("baseline")),
        (NOTHING, summary.unscored()),
    ]


def _board_row(
    summary: Summary,
    entry: Entry,
    block: str,
    at: dict[float, dict[str, Standing]],
    second: float | None,
    notes: Footnotes,
) -> TableRow:
    score, standing = summary.score(entry), at[summary.headline].get(entry.label)
    rank = f"{standing.rank} ({standing.low}–{standing.high})" if standing else words.DASH
    cells = [Cell(rank), Cell(_letter(standing.group) if standing else words.DASH), Cell(entry.name)]
    cells += _headline_cells(score, standing, entry, notes)
    for fraction in summary.fractions[:-1]:
        cells.append(_score_cell(summary.score(entry, fraction), at[fraction].get(entry.label), notes))
    if second:
        best = standings(summary, second, "all").get(entry.label)
        cells.append(_score_cell(summary.score(entry, second, "all"), best, notes))
    cells += [Cell(words.paid_for(entry.needs)), Cell(words.paid_for(entry.needs_at_test))]
    cells += [Cell(words.size(entry.cost[name])) for name in ("views", "lead_samples")]
    cells += [Cell(words.seconds(entry.cost["seconds"])), Cell(words.size(entry.cost["parameters"]))]
    return TableRow(block, tuple(cells), _board_data(summary, entry, standing))


def _headline_cells(
    score: Score | None, standing: Standing | None, entry: Entry, notes: Footnotes
) -> list[Cell]:
    if score is None:
        status = entry.missing[0].status if entry.missing else words.DASH
        return [Cell(status, notes=notes(*words.missing_notes(entry))), Cell(), Cell()]
    return [_score_cell(score, standing, notes), Cell(words.spread(score.seeds)), Cell(words.span(*score.interval))]


def _score_cell(score: Score | None, standing: Standing | None, notes: Footnotes) -> Cell:
    if score is None:
        return Cell()
    emphasis: Literal["", "best", "second"] = ""
    if standing:
        emphasis = "best" if standing.rank == 1 else "second" if standing.rank == 2 else ""
    dagger = standing is not None and standing.group == 0 and standing.rank > 1
    return Cell(words.points(score.seeds.mean), emphasis, dagger, notes(*words.seed_notes(score)))


def _board_data(summary: Summary, entry: Entry, standing: Standing | None) -> dict[str, Any]:
    data: dict[str, Any] = {"label": entry.label, "strategy": entry.name, "origin": entry.origin}
    data |= {"rank": standing.rank, "rank_low": standing.low, "rank_high": standing.high} if standing else {}
    data |= {"tie_group": _letter(standing.group)} if standing else {}
    data |= score_data(summary.score(entry))
    for fraction in summary.fractions:
        for selection in ("subset", "all"):
            score = summary.score(entry, fraction, selection)
            data[f"{HEADLINE}@{fraction:g}/{selection}"] = score.seeds.mean if score else None
    data |= {"paid_for": " ".join(entry.needs), "needs_at_test": " ".join(entry.needs_at_test), **entry.cost}
    return data | {"no_result": " | ".join(words.missing_notes(entry))}


def score_data(score: Score | None) -> dict[str, Any]:
    """A score for the CSV, in the metric's own unit."""
    if score is None:
        return dict.fromkeys((HEADLINE, "seeds", "seed_sd", "seed_low", "seed_high", "low", "high"))
    seeds, (low, high) = score.seeds, score.interval
    return {
        HEADLINE: seeds.mean,
        "seeds": seeds.n,
        "seed_sd": seeds.sd,
        "seed_low": seeds.low,
        "seed_high": seeds.high,
        "low": low,
        "high": high,
    }


def _letter(group: int) -> str:
    return chr(ord("a") + group) if group < 26 else str(group + 1)


def context(summary: Summary) -> dict[str, Any]:
    """What stands in every row of a CSV, so that none of its numbers can be taken for another corpus's."""
    setting = summary.setting
    names = ("suite", "scale", "corpus", "simulated", "task", "split", "encoder", "lead_set", "eval_lead_set")
    return {name: getattr(setting, name) for name in names}


def selection(summary: Summary, suite: Suite) -> Table:
    """Both selections side by side at every label fraction: what a small validation part costs."""
    notes = Footnotes()
    pairs = [(f, s) for f in summary.fractions for s in ("subset", "all")]

    def row(block: str, entry: Entry) -> TableRow:
        scores = {pair: summary.score(entry, *pair) for pair in pairs}
        cells = [_score_cell(scores[pair], None, notes) for pair in pairs]
        data = {f"{HEADLINE}@{f:g}/{s}": scores[f, s].seeds.mean if scores[f, s] else None for f, s in pairs}  # type: ignore[union-attr]
        return TableRow(block, (Cell(entry.name), *cells), {"label": entry.label, **data})

    heads = [f"{words.percent(f)}, {'all validation labels' if s == 'all' else 'own'}" for f, s in pairs]
    columns = (Column("strategy", left=True), *map(Column, heads))
    what = (
        f"{words.SCORE}, mean over seeds, at each label fraction, chosen on the fraction's own validation records or"
        " on all of them. A classifier is chosen within its fit and has the first kind only."
    )
    rows = _rows(summary, row)
    return Table(
        "selection", words.caption(what, summary, suite), columns, rows, tuple(notes.texts), context(summary)
    )


def comparisons(summary: Summary, suite: Suite, resamples: int) -> Table:
    """Every entry minus every control, paired on the same test records."""
    rows = []
    for control in summary.ranked("baseline"):
        others = [entry for entry in summary.ranked("strategy", "baseline") if entry is not control]
        rows += _against(summary, control, others)
    what = (
        f"Differences of {words.SCORE} at {words.percent(summary.headline)} labels, each row minus the control that"
        f" heads its block: means over seeds on the same test records, {resamples:,} paired resamples of the test"
        " patients; p two-sided, Holm-corrected over the rows of the block."
    )
    heads = ("difference", "95 % interval over test patients", "p", "p (Holm)")
    columns = (Column("row", left=True), *map(Column, heads))
    return Table("comparisons", words.caption(what, summary, suite), columns, tuple(rows), (), context(summary))


def _against(summary: Summary, control: Entry, others: Sequence[Entry]) -> list[TableRow]:
    base = summary.score(control)
    pairs = [(entry, score) for entry in others if (score := summary.score(entry)) and base]
    if base is None or not pairs:
        return []
    tests = [difference(s.seeds.mean - base.seeds.mean, s.draws, base.draws) for _, s in pairs]
    rows = []
    for (entry, _), test, corrected in zip(pairs, tests, holm([test.p for test in tests]), strict=True):
        shown = (words.gap(test.value), f"{words.gap(test.low)} to {words.gap(test.high)}")
        cells = [Cell(entry.name), *map(Cell, shown), Cell(f"{test.p:.3f}"), Cell(f"{corrected:.3f}")]
        data = {"row": entry.label, "minus": control.label, "difference": test.value, "low": test.low}
        data |= {"high": test.high, "p": test.p, "p_holm": float(corrected)}
        rows.append(TableRow(f"minus {control.name}", tuple(cells), data))
    return rows


def classes(summary: Summary, suite: Suite) -> Table | None:
    """AUROC of each class at the headline fraction; None where there are too many classes for a table."""
    rows = summary.rows[summary.rows["metric"].str.startswith("auroc/")]
    rows = rows[rows["fraction"] == summary.headline]
    names = list(dict.fromkeys(rows["metric"]))
    if not names or len(names) > _MOST_CLASSES:
        return None
    means = rows.groupby(["label", "metric"])["value"].mean()

    def row(block: str, entry: Entry) -> TableRow:
        values = {name: float(means.get((entry.label, name), float("nan"))) for name in names}
        cells = (Cell(entry.name), *(Cell(words.points(value)) for value in values.values()))
        return TableRow(block, cells, {"label": entry.label, **values})

    what = f"One-vs-rest {words.SCORE} of each class at {words.percent(summary.headline)} labels, mean over seeds."
    columns = (Column("strategy", left=True), *(Column(name.removeprefix("auroc/")) for name in names))
    return Table("classes", words.caption(what, summary, suite), columns, _rows(summary, row), (), context(summary))


def _rows(summary: Summary, make: Callable[[str, Entry], TableRow]) -> tuple[TableRow, ...]:
    """A row for every entry with a headline score, in the board's order."""
    return tuple(make(block, entry) for block, entries in _blocks(summary)[:2] for entry in entries)


def no_result(summary: Summary, suite: Suite) -> Table:
    """What was asked for and has no result, with the reason."""
    rows = []
    for entry in summary.entries:
        for missing in entry.missing:
            fractions = ", ".join(words.percent(fraction) for fraction in missing.fractions)
            seeds = ", ".join(map(str, missing.seeds))
            shown = (entry.name, fractions, seeds, missing.status, missing.reason)
            data = {"label": entry.label, "fractions": fractions, "seed_indices": seeds}
            data |= {"status": missing.status, "reason": missing.reason}
            rows.append(TableRow("", tuple(map(Cell, shown)), data))
    heads = ("strategy", "label fractions", "seed indices", "status", "reason")
    columns = tuple(Column(head, left=True) for head in heads)
    text = words.caption("Asked for, without a result.", summary, suite)
    return Table("no_result", text, columns, tuple(rows), (), context(summary))
