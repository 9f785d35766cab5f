"""A paper's tables whose rows lie on several lead sets, label fractions, parts or decision rules: published and ours.

Such a table is about a corpus and task, and takes its numbers from every setting that the run has there. A row that is
compared with another shows what it gains over it, as published and as ours, paired on the same records.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.report import words
from bench.report.challenge import CHALLENGE, HEADS, METRIC, WHAT
from bench.report.challenge_views import Rule
from bench.report.layout import SettingsLayout, SettingsRow
from bench.report.paper_common import OURS, PUBLISHED, general
from bench.report.published import layouts, published, settings_numbers
from bench.report.settings_beside import Beside, Gain, Place, places
from bench.report.stats import LEVEL, Seeds, holm, over_seeds
from bench.report.summary import Summary
from bench.report.table import DASH, Cell, Column, Table, TableRow
from bench.report.tables import difference_data, make_table, named, score_data
from bench.report.views import MetricViews
from bench.run.plan import Plan
from bench.run.suite import Suite

_PARTS = {"test": "test", "val": "validation"}
_LEADS = "of each row"
_ANY_PART = "95\u00a0% interval over patients of the part"


def settings_tables(
    plan: Plan,
    summaries: Sequence[Summary],
    challenge: Mapping[Rule, Sequence[Summary]],
    suite: Suite,
    views: MetricViews,
    resamples: int,
) -> list[Table]:
    """Every table over settings of the paper whose suite this is, one a corpus; none for other suites.

    Args:
        summaries: of every setting of the suite.
        challenge: the same with the Challenge metric as their scores, by decision rule.
        resamples: of the bootstrap over patients.
    """
    tables = []
    for name, layout in layouts(suite.name).items():
        if isinstance(layout, SettingsLayout):
            numbers = settings_numbers(published(suite.name), name, layout)
            found = places(name, layout, numbers, plan, summaries, challenge, suite, views)
            tables += [_table(place, resamples) for place in found]
    return tables


def _table(place: Place, resamples: int) -> Table:
    layout, notes = place.layout, place.notes
    notes(*(layout.footnotes[key] for key in layout.table_footnotes))
    besides = list(place.rows.values())
    blocks = [(PUBLISHED, [b for b in besides if b.number]), (OURS, [b for b in besides if not b.number])]
    heads = _Heads.of(besides)
    rows = tuple(row for block, own in blocks for row in _rows(block, own, heads))
    summary = _together(place)
    metric = CHALLENGE.removesuffix(" ×100") if layout.metric == METRIC else words.macro(summary)
    what = f"{layout.title}: {metric}; published and ours, both ×100, ours as a mean over seeds."
    table = make_table(place.name, what, summary, place.suite, heads.columns(), rows, notes)
    caption = f"{table.caption} {_explained(place, besides, resamples)}"
    context = {name: value for name, value in table.context.items() if not name.endswith("lead_set")}
    return replace(table, caption=caption, context=context)


def _together(place: Place) -> Summary:
    """All settings as one, for the caption: the leads are those of each row, where there are several."""
    every = list(place.summaries.values())
    first = next((summary for summary in every if summary.records), every[0])
    asked = {b.row.leads for b in place.rows.values() if b.row.label}
    leads = first.setting.lead_set, first.setting.eval_lead_set
    if len(asked) > 1:
        leads = _LEADS, _LEADS
    elif asked:
        leads = next(iter(asked))
    entries = {entry.key: entry for summary in every for entry in summary.entries}
    return replace(
        first,
        setting=replace(first.setting, lead_set=leads[0], eval_lead_set=leads[1]),
        entries=tuple(entries.values()),
        fractions=tuple(sorted({b.row.fraction for b in place.rows.values()})),
        kept=first.total if place.layout.metric == METRIC else first.kept,  # that metric counts all classes
    )


def _explained(place: Place, besides: Sequence[Beside], resamples: int) -> str:
    """What the columns mean."""
    text = [WHAT] if place.layout.metric == METRIC else []
    counts = {_validated(b) for b in besides if b.row.part == "val" and b.score}
    if counts:
        labels = {b.row.label for b in besides if b.row.label}
        told = " or ".join(words.counted(count, "record") for count in sorted(counts))
        text += [f"Part validation: {told}.", words.chosen_on_validation(place.suite, labels)]
    text.append(general(place.layout.table_footnotes))
    fixed = ", at fixed thresholds" * (place.layout.metric == METRIC)
    text.append(
        f"Intervals: {resamples:,} bootstrap resamples of the patients of the evaluated part, of means over"
        f" seeds{fixed}.{words.for_these_encoders(place.suite.seeds)}"
    )
    if any(b.row.minus for b in besides):
        text.append(
            "Gain: a row minus the one that it is compared with, on the same records and resamples; p two-sided,"
            " Holm-corrected over the gains of a block; seeds that gain: pairs of fits of one seed. A published gain"
            f" holds where ours has its sign and p is at most {1 - LEVEL:g}."
        )
    return " ".join(filter(None, text))


def _validated(beside: Beside) -> int:
    """Validation records behind a number."""
    rows = beside.summary.rows if beside.summary is not None else None
    if rows is None or beside.score is None:
        return 0
    own = rows[(rows["key"] == beside.score.keys[0]) & (rows["part"] == "val")]
    return int(own["records"].iloc[0])


@dataclass(frozen=True)
class _Heads:
    """Which columns a table has.

    Attributes:
        vary: of 'leads', 'part', 'rule' and 'fraction' those in which its rows differ.
        gains: some row is compared with another.
    """

    layout: SettingsLayout
    besides: tuple[Beside, ...]
    vary: tuple[str, ...]
    gains: bool

    @classmethod
    def of(cls, besides: Sequence[Beside]) -> "_Heads":
        """Those of these rows."""
        rows = [beside.row for beside in besides]
        axes = ("leads", "part", "rule", "fraction")
        vary = (axis for axis in axes if len({getattr(row, axis) for row in rows if row.label}) > 1)
        return cls(besides[0].place.layout, tuple(besides), tuple(vary), any(row.minus for row in rows))

    def columns(self) -> tuple[Column, ...]:
        """All of them."""
        return tuple(self._columns())

    def _columns(self) -> Iterator[Column]:
        told = {"leads": "leads", "part": "part", "rule": "decisions", "fraction": "labels"}
        yield Column("row of the paper", left=True)
        yield Column("ours", left=True)
        yield from (Column(told[axis], left=axis != "fraction") for axis in self.vary)
        yield Column("published")
        if self.layout.spread:
            yield Column(self.layout.spread)
        scores = [beside.score for beside in self.besides if beside.score]
        interval = _ANY_PART if any(beside.row.part == "val" for beside in self.besides) else words.INTERVAL
        heads = ("ours, mean over seeds", words.spread_head(scores), interval, "seeds", "ours − published")
        yield from map(Column, heads)
        yield Column("verdict", left=True)
        if self.gains:
            yield Column("compared with", left=True)
            gain = ("published gain", "our gain (95\u00a0% interval)", "p (Holm)", "seeds that gain")
            yield from map(Column, gain)
            yield Column("published gain holds", left=True)

    def where(self, row: SettingsRow) -> list[Cell]:
        """Where a row lies on what varies."""
        told = {"part": _PARTS[row.part], "rule": HEADS[row.rule], "fraction": words.percent(row.fraction)}
        trained, evaluated = row.leads
        told["leads"] = trained if trained == evaluated else f"{trained}, evaluated on {evaluated}"
        return [Cell(told[axis]) if row.label else Cell() for axis in self.vary]


def _rows(block: str, besides: Sequence[Beside], heads: _Heads) -> Iterator[TableRow]:
    """Rows of a block; their p-values are corrected together."""
    tests = {b.row.row: b.gain.ours.p for b in besides if b.gain and b.gain.ours}
    corrected = dict(zip(tests, map(float, holm(list(tests.values()))), strict=True))
    for beside in besides:
        row, p = beside.row, corrected.get(beside.row.row)
        name = Cell(row.row, notes=beside.marks())
        cells = [
            name,
            Cell(beside.entry.name if beside.entry else DASH),
            *heads.where(row),
            *_numbers(beside),
        ]
        cells += _gain_cells(beside, p) if heads.gains else []
        yield TableRow(block, tuple(cells), _data(beside, p))


def _numbers(beside: Beside) -> list[Cell]:
    """Published, its ±, ours with spread, interval and seeds, the difference, the verdict."""
    number, score, notes = beside.number, beside.score, beside.place.notes
    digits = _Digits(beside.place.layout.decimals)
    printed = number is not None and number.spread == number.spread
    cells = [Cell(digits.points(number.mean) if number else DASH)]
    if beside.place.layout.spread:
        cells.append(Cell(f"± {digits.points(number.spread)}" if number and printed else DASH))
    if score is None:
        cells += [Cell()] * 4
    else:
        cells.append(Cell(digits.points(score.seeds.mean), notes=notes(*words.seed_notes(score))))
        shown = (digits.spread(score.seeds), digits.span(*score.interval), str(score.seeds.n))
        cells += map(Cell, shown)
    cells.append(Cell(DASH if beside.gap is None else digits.gap(beside.gap)))
    return [*cells, Cell(beside.word, notes=notes(*beside.because()))]


def _gain_cells(beside: Beside, p: float | None) -> list[Cell]:
    gain, digits = beside.gain, _Digits(beside.place.layout.decimals)
    if gain is None:
        return [Cell()] * 6
    cells = [Cell(gain.minus), Cell(DASH if gain.published is None else digits.gap(gain.published))]
    if gain.ours is None or p is None:
        return [*cells, *[Cell()] * 4]
    span = f"{digits.gap(gain.ours.low)} to {digits.gap(gain.ours.high)}"
    seeds = f"{gain.above} of {len(gain.by_seed)}"
    shown = (f"{digits.gap(gain.ours.value)} ({span})", f"{p:.3f}", seeds, gain.holds(p) or DASH)
    return [*cells, *map(Cell, shown)]


def _data(beside: Beside, p: float | None) -> dict[str, Any]:
    """Everything about one row, for the CSV, in the metric's own unit."""
    row, number, score = beside.row, beside.number, beside.score
    data: dict[str, Any] = {"row": row.row}
    data |= named(beside.entry) if beside.entry else {"label": row.label, "title": ""}
    names = ("lead_set", "eval_lead_set", "part", "rule", "fraction")
    rule = row.rule if beside.place.layout.metric == METRIC else None
    where = (*row.leads, row.part, rule, row.fraction) if row.label else (None,) * len(names)
    data |= dict(zip(names, where, strict=True))
    told = (number.mean, number.spread, number.split, number.note) if number else (None, None, "", "")
    about = ("published", "published_spread", "published_split", "published_note")
    data |= dict(zip(about, told, strict=True))
    data |= {
        **score_data(score, beside.place.layout.metric),
        "difference": beside.gap,
        "verdict": beside.word,
    }
    data["because"] = " | ".join(beside.because())
    return data | _gain_data(beside.gain, p)


def _gain_data(gain: Gain | None, p: float | None) -> dict[str, Any]:
    seeds = over_seeds(gain.by_seed) if gain and gain.by_seed else None
    data: dict[str, Any] = {"minus": gain.minus if gain else None}
    data["published_gain"] = gain.published if gain else None
    data |= {**difference_data("gain", gain.ours if gain else None), "gain_p_holm": p}
    spread = (seeds.n, gain.above, seeds.sd, seeds.low, seeds.high) if gain and seeds else (None,) * 5
    names = ("gain_seeds", "gain_seeds_above", "gain_seed_sd", "gain_seed_low", "gain_seed_high")
    return data | dict(zip(names, spread, strict=True)) | {"holds": gain.holds(p) if gain else ""}


@dataclass(frozen=True)
class _Digits:
    """Scores times 100 with as many decimals as the paper's numbers need."""

    decimals: int

    def points(self, value: float) -> str:
        """A score; a dash where there is none."""
        if value != value:
            return DASH
        text = f"{100 * value:.{self.decimals}f}"
        return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")

    def gap(self, value: float) -> str:
        """A signed difference."""
        return DASH if value != value else f"{100 * value:+.{self.decimals}f}".replace("-", "−")

    def span(self, low: float, high: float) -> str:
        """An interval."""
        return DASH if low != low else f"{self.points(low)} to {self.points(high)}"

    def spread(self, seeds: Seeds) -> str:
        """SD of three or more seeds, the range of two, nothing of one or of copies."""
        if seeds.n == 1 or seeds.identical:
            return DASH
        return self.span(seeds.low, seeds.high) if seeds.n == 2 else self.points(seeds.sd)
