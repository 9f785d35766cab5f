"""The Challenge metric of every entry, by what is known of the source database when scores become decisions.

Masking predictions asks for the identity of a record's database at test time: with and without it stand side by side.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from bench.report import words
from bench.report.challenge_views import RULES, ChallengeViews, Rule
from bench.report.stats import over_seeds
from bench.report.summary import Entry, Score, Summary
from bench.report.table import DASH, Cell, Column, Footnotes, Table, TableRow
from bench.report.tables import (
    BLOCKS,
    NOTHING,
    difference_data,
    make_table,
    named,
    nothing_cell,
    score_cell,
    score_data,
)
from bench.run.suite import Suite

METRIC = "challenge_metric"

CHALLENGE = "Challenge metric ×100"

HEADS: dict[Rule, str] = {
    "known": "masked, database known",
    "inferred": "masked, database guessed",
    "validation": "masked at validation only",
    "unmasked": "unmasked",
}

_MORE = (
    ("macro_f", "macro F"),
    ("accuracy", "exact accuracy"),
    ("macro_auroc", "macro AUROC"),
    ("macro_average_precision", "macro AUPRC"),
)

WHAT = (
    "Challenge metric of PhysioNet/CinC 2021 (26 classes, pooled over records; 100: every label right, 0: NSR for"
    " everyone). A class is decided from a threshold of 0.10 to 0.70 on, the one with the best F1 on the validation"
    " records of the same label fraction. Masked: classes that a record's source database never has among the labelled"
    " training records are decided against, which asks for the database's identity at test time: no such number can"
    " be held against a leaderboard. Guessed: by the entry's two rules, from rate and lead means."
)


def challenge_summaries(
    summaries: Iterable[Summary], views: ChallengeViews, rule: Rule = "known"
) -> list[Summary]:
    """The same entries with the Challenge metric under a rule as their scores, wherever any has such a score."""
    found = (_challenge(summary, views, rule) for summary in summaries)
    return [summary for summary in found if any(entry.scores for entry in summary.entries)]


def _challenge(summary: Summary, views: ChallengeViews, rule: Rule) -> Summary:
    entries = tuple(replace(entry, scores=_scores(entry, views, rule)) for entry in summary.entries)
    return replace(summary, entries=entries, metric=METRIC)


def _scores(entry: Entry, views: ChallengeViews, rule: Rule) -> dict[tuple[float, str], Score]:
    """Those selected on the fraction's own validation records; 'subset' is their selection here too."""
    return {
        place: _score(score, views, rule)
        for place, score in entry.scores.items()
        if place[1] == "subset" and views.concerns(score.keys[0])
    }


def _score(score: Score, views: ChallengeViews, rule: Rule) -> Score:
    found = [views.metrics(key, rule) for key in score.keys]
    seeds = over_seeds([one[METRIC] for one in found], [one["digest"] for one in found])
    return replace(score, seeds=seeds, selection=rule, views=views)


def challenge_table(summary: Summary, views: ChallengeViews, suite: Suite) -> Table | None:
    """Every entry and label fraction under every rule, with F, accuracy, AUROC and AUPRC.

    None for other classes, for windows that are judged by themselves, and where nothing has a result yet.
    """
    by_rule = {rule: found[0] for rule in RULES if (found := challenge_summaries([summary], views, rule))}
    if not by_rule:
        return None
    notes = Footnotes()
    several = len(summary.fractions) > 1
    rows = [
        _row(by_rule, views, block, entry, fraction, several, notes)
        for block, entries in _blocks(summary)
        for entry in entries
        for fraction in _fractions(summary, entry)
    ]
    what = f"{CHALLENGE} on the test part by what is known of the source database, mean over seeds."
    more = (
        f"{WHAT} Thresholds averaged: over the seeds of the row, as the entry was submitted. F and accuracy are of the"
        " decisions with the database known, AUROC and AUPRC of unmasked scores. Brackets:"
        f" {words.INTERVAL}, by {views.resamples:,} bootstrap resamples at fixed thresholds."
        f"{words.for_these_encoders(suite.seeds)}"
    )
    return make_table("challenge", what, summary, suite, _columns(summary, several), tuple(rows), notes, more)


def _blocks(summary: Summary) -> list[tuple[str, list[Entry]]]:
    """Entries with any score by block, in the suite's order, and those without."""
    scored = [entry for entry in summary.entries if entry.scores]
    blocks = [(block, [e for e in scored if e.origin == origin]) for block, origin in BLOCKS.items()]
    return [*blocks, (NOTHING, [entry for entry in summary.entries if not entry.scores])]


def _fractions(summary: Summary, entry: Entry) -> Sequence[float]:
    """Label fractions that were asked of an entry."""
    missing = {fraction for one in entry.missing for fraction in one.fractions}
    return sorted({fraction for fraction, _ in entry.scores} | missing) or [summary.headline]


def _columns(summary: Summary, several: bool) -> tuple[Column, ...]:
    scores = [score for entry in summary.entries for score in entry.scores.values()]
    heads = ["labels"] * several + [HEADS["known"], words.spread_head(scores), words.INTERVAL]
    heads += [f"{HEADS['known']}, thresholds averaged", *(HEADS[rule] for rule in RULES[1:])]
    heads += ["masks − none (95\u00a0% interval)", *(f"{head} ×100" for _, head in _MORE)]
    ledger = Column("needs at test, masked", left=True)
    return (Column("strategy", left=True), *map(Column, heads), ledger)


def _row(
    by_rule: dict[Rule, Summary],
    views: ChallengeViews,
    block: str,
    entry: Entry,
    fraction: float,
    several: bool,
    notes: Footnotes,
) -> TableRow:
    scores = {rule: _at(found, entry, fraction) for rule, found in by_rule.items()}
    cells = [Cell(entry.name), *[Cell(words.percent(fraction))] * several]
    data: dict[str, Any] = {**named(entry), "fraction": fraction}
    known, unmasked = scores["known"], scores["unmasked"]
    if known is None or unmasked is None:
        return _nothing(block, entry, fraction, cells, data, notes)
    averaged = over_seeds(views.averaged(known.keys, "known")) if known.seeds.n > 1 else None
    gained = known.minus(unmasked)
    cells += [score_cell(known, notes), Cell(words.spread(known.seeds)), Cell(words.span(*known.interval))]
    cells.append(Cell(words.points(averaged.mean) if averaged else DASH))
    cells += [score_cell(scores[rule], notes) for rule in RULES[1:]]
    cells.append(Cell(words.with_span(gained)))
    more = _more(views, known, unmasked)
    cells += [Cell(words.points(value)) for value in more.values()]
    ledger = tuple(sorted({*entry.needs_at_test, "database"}))
    cells.append(Cell(words.paid_for(ledger)))
    data |= {
        f"{rule}_{name}": value for rule in RULES for name, value in score_data(scores[rule], METRIC).items()
    }
    data |= {"known_thresholds_averaged": averaged.mean if averaged else None, **more}
    data |= difference_data("masks_minus_none", gained) | {"needs_at_test_masked": " ".join(ledger)}
    return TableRow(block, tuple(cells), data)


def _at(summary: Summary, entry: Entry, fraction: float) -> Score | None:
    """The score of the same entry in another summary."""
    own = summary.entry(*entry.key)
    return summary.score(own, fraction) if own else None


def _more(views: ChallengeViews, known: Score, unmasked: Score) -> dict[str, float]:
    """Means over seeds of the official side metrics."""
    rules = {
        "macro_f": known,
        "accuracy": known,
        "macro_auroc": unmasked,
        "macro_average_precision": unmasked,
    }
    return {
        name: over_seeds([views.metrics(key, score.selection)[name] for key in score.keys]).mean
        for name, score in rules.items()
    }


def _nothing(
    block: str, entry: Entry, fraction: float, cells: list[Cell], data: dict[str, Any], notes: Footnotes
) -> TableRow:
    """A row without a result, and why."""
    width = 3 + 1 + len(RULES[1:]) + 1 + len(_MORE)
    empty = [nothing_cell(words.missing_notes(entry, fraction), notes), *[Cell()] * width]
    return TableRow(block, (*cells, *empty), data)
