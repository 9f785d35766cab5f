"""What pre-training here and elsewhere, and having seen the test ECGs, is worth: differences on the same records."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bench.report import words
from bench.report.summary import Entry, Score, Summary
from bench.report.table import DASH, Cell, Column, Footnotes, Table, TableRow
from bench.report.tables import difference_data, make_table, named, nothing_cell, score_cell
from bench.run.suite import Entry as SuiteEntry
from bench.run.suite import Suite, budget_of

FROZEN, TUNED = "embeddings read out here", "classifiers that start from it, trained here"

_LONG, _NAME = 30, 0.2  # rows of a table that breaks across pages; the width of its first column

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

_ELSEWHERE = " A classifier that was trained elsewhere is read out like any frozen encoder."
_SCRATCH = (
    " From scratch: trained on the visible labels with the row's own encoder, from no other fit; a dash where there is"
    " no such row."
)


def transfer_table(summary: Summary, suite: Suite, resamples: int) -> Table | None:
    """A row an entry and label fraction: pre-trained here, on every other corpus, and against training from scratch.

    Where nothing was pre-trained elsewhere it is named 'from_scratch', and has what starts from another fit, and what
    that is; None where there is neither.
    """
    blocks = moved(summary, suite) if summary.sources else _started(summary, suite)
    found = [p for block, own in blocks for label in own for p in _places(summary, suite, label, block)]
    scratches = bool(_scratches(summary, suite))
    if not found or not (summary.sources or any(place.scratch for place in found)):
        return None
    notes = Footnotes()
    several = len(summary.fractions) > 1
    rows = tuple(_row(place, several, scratches, notes) for place in found)
    name, what = _named(summary, several)
    more = (
        f"{_ELSEWHERE * bool(summary.sources)}{_SCRATCH * scratches} Differences: means over seeds on the same test"
        f" records; brackets: {words.INTERVAL}, by {resamples:,} paired bootstrap resamples, not corrected for the"
        f" number of differences.{words.for_these_encoders(suite.seeds)}"
    )
    columns = _columns(summary, several, scratches, len(rows) > _LONG)
    table = make_table(name, what, summary, suite, columns, rows, notes, more.strip())
    return replace(table, long=len(rows) > _LONG)


def moved(summary: Summary, suite: Suite) -> list[tuple[str, list[str]]]:
    """Labels of rows that were pre-trained elsewhere: those whose embeddings are read out, then the classifiers."""
    labels = list(dict.fromkeys(entry.label for entry in summary.entries if entry.source))
    return _in_blocks(suite, labels)


def scratch_of(summary: Summary, suite: Suite, entry: Entry) -> Entry | None:
    """The row that was trained from scratch on this corpus's labels with an entry's encoder; of such a row: itself.

    Label fractions are shares of the same in both.
    """
    own = [one for one in _scratches(summary, suite) if one.fractions_by == entry.fractions_by]
    encoder = words.encoder_of(suite, entry.label)
    alike = [one for one in own if words.encoder_of(suite, one.label) == encoder]
    return next((one for one in alike if one.label == entry.label), alike[0] if alike else None)


def _scratches(summary: Summary, suite: Suite) -> list[Entry]:
    """Classifiers of this corpus that start from no other fit."""
    own = (entry for entry in summary.entries if entry.origin == "baseline" and entry.readout == "classifier")
    return [entry for entry in own if words.first_of(suite, entry.label) == entry.label]


def _started(summary: Summary, suite: Suite) -> list[tuple[str, list[str]]]:
    """Labels of rows that start from another fit, and of those that they start from, in blocks."""
    have = {entry.label for entry in summary.entries}
    pairs = [(entry.init, entry.label) for entry in suite.entries if entry.init and entry.label in have]
    firsts = [init for init, _ in pairs if init in have]
    scratches = {entry.label for entry in _scratches(summary, suite)}
    labels = [label for label in (*firsts, *(own for _, own in pairs)) if label not in scratches]
    return _in_blocks(suite, list(dict.fromkeys(labels)))


def _in_blocks(suite: Suite, labels: list[str]) -> list[tuple[str, list[str]]]:
    starts = {entry.label for entry in suite.entries if entry.init}
    blocks = (
        (FROZEN, [label for label in labels if label not in starts]),
        (TUNED, [label for label in labels if label in starts]),
    )
    return [(block, own) for block, own in blocks if own]


@dataclass(frozen=True)
class _Place:
    """A row of the table: one label at one label fraction.

    Attributes:
        entries: by corpus of the pre-training, '' being the one evaluated.
    """

    summary: Summary
    label: str
    fraction: float
    block: str
    entries: Mapping[str, Entry | None]
    scratch: Entry | None

    def score(self, source: str) -> Score | None:
        """The score of what was pre-trained on a corpus."""
        return self.of(self.entries[source])

    def of(self, entry: Entry | None) -> Score | None:
        """The score of an entry at this fraction."""
        return self.summary.score(entry, self.fraction) if entry else None

    def gain(self, source: str) -> tuple[Score | None, Score | None]:
        """What was pre-trained on a corpus, and what it is compared with: training from scratch, never with itself."""
        own, scratch = self.entries[source], self.scratch
        same = own is not None and scratch is not None and own.key == scratch.key
        return self.of(own), None if same else self.of(scratch)


def _places(summary: Summary, suite: Suite, label: str, block: str) -> list[_Place]:
    """A row for each label fraction that was asked of a label, ascending."""
    entries = {source: summary.entry(label, source) for source in ("", *summary.sources)}
    have = [entry for entry in entries.values() if entry]
    scored = {fraction for entry in have for fraction, _ in entry.scores}
    fractions = scored | {f for entry in have for missing in entry.missing for f in missing.fractions}
    scratch = scratch_of(summary, suite, have[0])
    return [_Place(summary, label, f, block, entries, scratch) for f in sorted(fractions)]


def _named(summary: Summary, several: bool) -> tuple[str, str]:
    """Name and title of the table."""
    at = "at each label fraction" if several else f"at {words.percent(summary.headline)} labels"
    score = f"{words.score_head(summary)} {at}"
    if summary.sources:
        return "transfer", f"Transfer: {score} by the corpus of the pre-training, mean over seeds."
    return "from_scratch", f"Against training from scratch: {score}, mean over seeds."


def _columns(summary: Summary, several: bool, scratches: bool, long: bool) -> tuple[Column, ...]:
    places = ("here", *summary.sources)
    heads = ["labels"] * several + ["pre-trained here", *(f"on {source}" for source in summary.sources)]
    heads += ["from scratch"] * scratches
    heads += [f"{source} − here (95\u00a0% interval)" for source in summary.sources]
    heads += [f"{where} − from scratch (95\u00a0% interval)" for where in places if scratches]
    return (Column("strategy", left=True, width=_NAME * long), *map(Column, heads))


def _row(place: _Place, several: bool, scratches: bool, notes: Footnotes) -> TableRow:
    sources, title = place.summary.sources, words.titles(place.summary.entries)[place.label]
    data: dict[str, Any] = {"label": place.label, "title": title, "fraction": place.fraction}
    cells = [Cell(title), *[Cell(words.percent(place.fraction))] * several]
    for source, entry in place.entries.items():
        cells.append(_score_cell(place.summary, entry, notes, place.fraction))
        data |= _score_data(_at(source), place.score(source))
    if scratches:
        cells.append(_score_cell(place.summary, place.scratch, notes, place.fraction))
        data |= {"base": place.scratch.label if place.scratch else ""}
        data |= _score_data("scratch", place.of(place.scratch))
    for source in sources:
        cells.append(_difference(data, f"{source}_minus_here", place.score(source), place.score("")))
    for source in place.entries if scratches else ():
        cells.append(_difference(data, f"{_at(source)}_minus_scratch", *place.gain(source)))
    return TableRow(place.block, tuple(cells), data)


def _at(source: str) -> str:
    return source or "here"


def _score_data(name: str, score: Score | None) -> dict[str, float | None]:
    """A score with its interval over test patients, for the CSV."""
    found = (score.seeds.mean, *score.interval) if score else (None,) * 3
    return dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))


def _score_cell(
    summary: Summary, entry: Entry | None, notes: Footnotes, fraction: float | None = None
) -> Cell:
    """A score, at the headline fraction by default, or why there is none."""
    if entry is None:
        return Cell()
    if score := summary.score(entry, fraction):
        return score_cell(score, notes)
    at = summary.headline if fraction is None else fraction
    return nothing_cell(words.missing_notes(entry, at), notes)


def _difference(data: dict[str, Any], name: str, score: Score | None, base: Score | None) -> Cell:
    """A paired difference as it is printed; it is put into the data too."""
    test = score.minus(base) if score and base else None
    data |= difference_data(name, test)
    return Cell(words.with_span(test) if test else DASH)


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
