"""The Challenge metric of every entry, by what is known of the source database when scores become decisions.

Masking predictions asks for the identity of a record's database at test time: with and without it stand side by side.
"""

from collections.abc import Collection, Iterable, Sequence
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

SPAN = "95\u00a0% interval"
"""Head of intervals below a caption that says over what."""

HEADS: dict[Rule, str] = {
    "known": "masked, database known",
    "inferred": "masked, database guessed",
    "validation": "masked at validation only",
    "unmasked": "unmasked",
}

_MORE = (
    ("macro_f", "F"),
    ("accuracy", "accuracy"),
    ("macro_auroc", "AUROC"),
    ("macro_average_precision", "AUPRC"),
)

SHORT: dict[Rule, str] = {
    "known": "known",
    "inferred": "guessed",
    "validation": "validation only",
    "unmasked": "no masks",
}
"""Heads of columns below a caption that `explained` them."""

_WHAT = (
    "Challenge metric of PhysioNet/CinC 2021 (26 classes, pooled over records; 100: every label right, 0: NSR for"
    " everyone). A class is decided from a threshold of 0.10 to 0.70 on, the one with the best F1 on the validation"
    " records of the same label fraction."
)

_MASKED = (
    " Masked: classes that a record's source database never has among the labelled training records are decided"
    " against."
)

_TOLD: dict[Rule, str] = {
    "known": " Database known: this asks for the database's identity at test time, and no such number can be held"
    " against a leaderboard.",
    "inferred": " Guessed: from rate and lead means, by the entry's rules.",
    "validation": " Validation only: masks have a say in the thresholds, not in the decisions.",
    "unmasked": "",
}

_STRICTER = " Masks are of the labelled records of each label fraction: the fewer these are, the stricter."


def explained(rules: Collection[Rule], fractions: Collection[float] = (1.0,)) -> str:
    """What a reader must know of the metric under these rules, at these label fractions."""
    masks = [rule for rule in RULES if rule in rules and rule != "unmasked"]
    if not masks:
        return _WHAT
    stricter = _STRICTER if min(fractions, default=1) < 1 else ""
    return _WHAT + _MASKED + "".join(_TOLD[rule] for rule in masks) + stricter


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
    what = f"{CHALLENGE} on the test part by what is known of the source database, mean over seeds; all ×100."
    more = (
        f"{explained(RULES, summary.fractions)} Averaged: thresholds, over the seeds of the row, as the entry was"
        " submitted; database known. F (macro) and accuracy (all classes right) are of the decisions with the database"
        f" known, AUROC and AUPRC (macro) of unmasked scores. Needs at test: with masks. {words.INTERVAL}, by"
        f" {views.resamples:,} bootstrap resamples at fixed thresholds."
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
    heads = ["labels"] * several + [
        f"{SHORT['known']} ({SPAN})",
        words.spread_head(scores),
        "averaged",
    ]
    heads += [
        *(SHORT[rule] for rule in RULES[1:]),
        f"known − no masks ({SPAN})",
        *(head for _, head in _MORE),
    ]
    return (Column("strategy", left=True), *map(Column, heads), Column("needs at test", left=True))


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
    mean = score_cell(known, notes)
    cells.append(replace(mean, text=f"{mean.text} ({words.span(*known.interval)})"))
    cells.append(Cell(words.spread(known.seeds)))
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
    width = 2 + len(RULES[1:]) + 1 + len(_MORE) + 1
    empty = [nothing_cell(words.missing_notes(entry, fraction), notes), *[Cell()] * width]
    return TableRow(block, (*cells, *empty), data)
