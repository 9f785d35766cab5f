"""What pre-training elsewhere is worth, and having seen the test ECGs: paired differences on the same records."""

from typing import Any

from bench.report import words
from bench.report.summary import Entry, Score, Summary
from bench.report.table import DASH, Cell, Column, Footnotes, Table, TableRow
from bench.report.tables import difference_data, make_table, named, nothing_cell, score_cell
from bench.run.suite import Entry as SuiteEntry
from bench.run.suite import Suite, budget_of

FROZEN, TUNED = "embeddings read out here", "classifiers that start from it, trained here"

_NOT_THE_METHOD = (
    "label",
    "title",
    "init",
    "overlap",
    "transfer",
    "noise",
    "budget",
    "fractions",
    "groupings",
)


def transfer_table(summary: Summary, suite: Suite, resamples: int) -> Table | None:
    """A row a strategy: pre-trained here, and on every other corpus; None where nothing was pre-trained elsewhere."""
    if not summary.sources:
        return None
    notes = Footnotes()
    places = [(block, label) for block, labels in moved(summary, suite) for label in labels]
    rows = tuple(_row(summary, suite, label, block, notes) for block, label in places)
    columns = [Column("strategy", left=True), Column("pre-trained here")]
    columns += [Column(f"on {source}") for source in summary.sources]
    columns += [Column(f"{source} − here (95\u00a0% interval)") for source in summary.sources]
    if _scratches(summary, suite):
        columns += [
            Column(f"{where} − from scratch (95\u00a0% interval)") for where in ("here", *summary.sources)
        ]
    what = (
        f"Transfer: {words.score_head(summary)} at {words.percent(summary.headline)} labels by the corpus of the"
        " pre-training, mean over seeds."
    )
    more = (
        "A classifier that was trained elsewhere is read out like any frozen encoder. Differences: means over seeds on"
        f" the same test records; brackets: {words.INTERVAL}, by {resamples:,} paired bootstrap resamples, not"
        f" corrected for the number of differences.{words.for_these_encoders(suite.seeds)}"
    )
    return make_table("transfer", what, summary, suite, tuple(columns), rows, notes, more)


def moved(summary: Summary, suite: Suite) -> list[tuple[str, list[str]]]:
    """Labels of rows that were pre-trained elsewhere: those whose embeddings are read out, then the classifiers."""
    starts = {entry.label for entry in suite.entries if entry.init}
    labels = list(dict.fromkeys(entry.label for entry in summary.entries if entry.source))
    blocks = (
        (FROZEN, [label for label in labels if label not in starts]),
        (TUNED, [x for x in labels if x in starts]),
    )
    return [(block, own) for block, own in blocks if own]


def _row(summary: Summary, suite: Suite, label: str, block: str, notes: Footnotes) -> TableRow:
    places = {source: summary.entry(label, source) for source in ("", *summary.sources)}
    first = next(entry for entry in places.values() if entry)
    scores = {source: summary.score(entry) if entry else None for source, entry in places.items()}
    bases = _scratches(summary, suite)
    base = next((e for e in bases if e.fractions_by == first.fractions_by and e.label != label), None)
    scratch = summary.score(base) if base else None
    cells = [_score_cell(summary, entry, notes) for entry in places.values()]
    data: dict[str, Any] = {"label": label, "title": words.titles(summary.entries)[label]}
    data |= {_at(source): score.seeds.mean if score else None for source, score in scores.items()}
    for source in summary.sources:
        cells.append(_difference(data, f"{source}_minus_here", scores[source], scores[""]))
    if bases:
        for source, score in scores.items():
            cells.append(_difference(data, f"{_at(source)}_minus_scratch", score, scratch))
    return TableRow(block, (Cell(data["title"]), *cells), data)


def _at(source: str) -> str:
    return source or "here"


def _score_cell(summary: Summary, entry: Entry | None, notes: Footnotes) -> Cell:
    """A headline score, or why there is none."""
    if entry is None:
        return Cell()
    score = summary.score(entry)
    return (
        score_cell(score, notes)
        if score
        else nothing_cell(words.missing_notes(entry, summary.headline), notes)
    )


def _difference(data: dict[str, Any], name: str, score: Score | None, base: Score | None) -> Cell:
    """A paired difference as it is printed; it is put into the data too."""
    test = score.minus(base) if score and base else None
    data |= difference_data(name, test)
    return Cell(words.with_span(test) if test else DASH)


def _scratches(summary: Summary, suite: Suite) -> list[Entry]:
    """Rows that were trained from scratch on this corpus's labels: classifiers that start from no other fit."""
    starts = {entry.label for entry in suite.entries if entry.init}
    own = (entry for entry in summary.entries if entry.origin == "baseline" and entry.readout == "classifier")
    return [entry for entry in own if entry.label not in starts]


def leak_table(summary: Summary, suite: Suite, resamples: int) -> Table | None:
    """Every row whose pre-training saw the test ECGs minus the same one without them; None where there is none."""
    leaky = [entry for entry in summary.entries if entry.overlap]
    if not leaky:
        return None
    notes = Footnotes()
    rows = tuple(_leak_row(summary, suite, entry, notes) for entry in leaky)
    heads = ("without the test ECGs", "with them", "difference", words.INTERVAL, "p")
    what = (
        "What the leak is worth: the same pre-training without and with the ECGs of validation and test (never their"
        f" labels), {words.score_head(summary)} at {words.percent(summary.headline)} labels, mean over seeds."
    )
    more = (
        f"Differences on the same test records; {resamples:,} paired bootstrap resamples of the test patients; p"
        f" two-sided, not corrected for the number of rows.{words.for_these_encoders(suite.seeds)}"
    )
    columns = (Column("strategy", left=True), *map(Column, heads))
    return make_table("leak", what, summary, suite, columns, rows, notes, more)


def _leak_row(summary: Summary, suite: Suite, entry: Entry, notes: Footnotes) -> TableRow:
    label = without_overlap(suite, entry.label)
    clean = summary.entry(label, entry.source) if label else None
    score, base = summary.score(entry), summary.score(clean) if clean else None
    data: dict[str, Any] = {**named(entry), "without": clean.label if clean else ""}
    data |= {
        name: s.seeds.mean if s else None for name, s in (("score_without", base), ("score_with", score))
    }
    test = score.minus(base) if score and base else None
    data |= difference_data("difference", test)
    shown = (words.gap(test.value), words.gap_span(test), f"{test.p:.3f}") if test else (DASH,) * 3
    cells = [_score_cell(summary, one, notes) for one in (clean, entry)]
    return TableRow("", (Cell(entry.name), *cells, *map(Cell, shown)), data)


def without_overlap(suite: Suite, label: str) -> str | None:
    """Label of the suite's entry that is the same as this one, but saw no test ECG; None where there is none."""
    by_label = {entry.label: entry for entry in suite.entries}
    if label not in by_label:
        return None
    found = (other for other in suite.entries if not _overlaps(other, by_label))
    return next((other.label for other in found if _alike(suite, by_label[label], other, by_label)), None)


def _overlaps(entry: SuiteEntry, by_label: dict[str, SuiteEntry]) -> bool:
    return entry.overlap or (entry.init is not None and _overlaps(by_label[entry.init], by_label))


def _described(suite: Suite, entry: SuiteEntry) -> tuple[Any, ...]:
    """A method but for what it starts from."""
    own = entry.model_dump(exclude={*_NOT_THE_METHOD})
    return own, budget_of(suite, entry), suite.encoders.get(entry.label, suite.encoder)


def _alike(suite: Suite, entry: SuiteEntry, other: SuiteEntry, by_label: dict[str, SuiteEntry]) -> bool:
    """Whether two entries, and the fits they start from, are one method."""
    if _described(suite, entry) != _described(suite, other) or (entry.init is None) != (other.init is None):
        return False
    if entry.init is None or other.init is None:
        return True
    return _alike(suite, by_label[entry.init], by_label[other.init], by_label)
