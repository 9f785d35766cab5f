"""A paper's tables whose rows lie on several lead sets, label fractions, parts or decision rules: published and ours.

Such a table is about a corpus and task, and takes its numbers from every setting that the run has there. A row that is
compared with another shows what it gains over it, as published and as ours, paired on the same records.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.report import words
from bench.report.challenge import CHALLENGE, HEADS, METRIC, SHORT, SPAN, explained
from bench.report.challenge_views import Rule
from bench.report.layout import SettingsLayout, SettingsRow
from bench.report.leads import widest_first
from bench.report.paper_common import PUBLISHED, general
from bench.report.published import layouts, published, settings_numbers
from bench.report.settings_beside import Beside, Gain, Place, places
from bench.report.stats import LEVEL, Seeds, holm, over_seeds
from bench.report.summary import Summary
from bench.report.table import DASH, Cell, Column, Table, TableRow
from bench.report.tables import difference_data, make_table, named, score_data
from bench.report.views import MetricViews
from bench.run.plan import Plan
from bench.run.suite import Suite

OURS = "ours only: what the paper's table lacks"

_PARTS = {"test": "test", "val": "validation"}
_LEADS = "of each row"


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
    besides = tuple(place.rows.values())
    columns = _Columns.of(besides)
    made = [one for block, own in _blocks(besides) for one in _rows(block, own, columns)]
    shown = columns.shown([cells for _, cells, _ in made])
    rows = tuple(TableRow(block, tuple(cells[key] for key in shown), data) for block, cells, data in made)
    summary = _together(place)
    table = make_table(
        place.name, _what(layout, besides, summary), summary, place.suite, tuple(shown.values()), rows, notes
    )
    caption = f"{table.caption} {_explained(place, besides, columns, resamples)}"
    context = {name: value for name, value in table.context.items() if not name.endswith("lead_set")}
    return replace(table, caption=caption, context=context)


def _blocks(besides: Sequence[Beside]) -> list[tuple[str, list[Beside]]]:
    """Rows with and without a published number; one block without a name where the paper prints none."""
    printed, own = [b for b in besides if b.number], [b for b in besides if not b.number]
    return [(PUBLISHED, printed), (OURS, own)] if printed else [("", own)]


def _what(layout: SettingsLayout, besides: Sequence[Beside], summary: Summary) -> str:
    """What the numbers are, for the title."""
    metric = words.macro(summary)
    if layout.metric == METRIC:
        rules = _rules(besides)
        metric = CHALLENGE.removesuffix(" ×100") + f" ({HEADS[rules[0]]})" * (len(rules) == 1)
    if any(b.number for b in besides):
        return f"{layout.title}: {metric}; published and ours, both ×100, ours as a mean over seeds."
    return f"{layout.title}: {metric}; ours alone, ×100, mean over seeds."


def _rules(besides: Sequence[Beside]) -> list[Rule]:
    """Decision rules of the rows, each once."""
    return list(dict.fromkeys(b.row.rule for b in besides if b.row.label))


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


def _explained(place: Place, besides: Sequence[Beside], columns: "_Columns", resamples: int) -> str:
    """What the columns mean."""
    challenge = place.layout.metric == METRIC
    text = [explained(_rules(besides), {b.row.fraction for b in besides})] if challenge else []
    if len(columns.entries) == 1:
        text.append(f"Ours: {columns.entries[0]}.")
    if "leads" in place.layout.named:
        trained = widest_first(b.row.leads[0] for b in besides if b.row.label)
        text.append(f"Lead sets by their number of leads: {', '.join(trained)}.")
    if "part" in place.layout.named:
        text.append(
            "Rows with 'test' in their names are of the test part, all others of the validation part."
        )
    counts = {_validated(b) for b in besides if b.row.part == "val" and b.score}
    if counts:
        labels = {b.row.label for b in besides if b.row.label}
        told = " or ".join(words.counted(count, "record") for count in sorted(counts))
        text += [f"Part validation: {told}.", words.chosen_on_validation(place.suite, labels)]
    footnotes = place.layout.table_footnotes
    if any(b.number for b in besides):
        text.append(general(footnotes))
    elif footnotes:
        text.append(f"On the whole see note{f's 1 to {len(footnotes)}' if len(footnotes) > 1 else ' 1'}.")
    text.append(
        f"Intervals: {resamples:,} bootstrap resamples of the patients of the evaluated part, of means over"
        f" seeds{', at fixed thresholds' * challenge}.{words.for_these_encoders(place.suite.seeds)}"
    )
    if columns.bases:
        text.append(_gains(besides, columns))
    return " ".join(filter(None, text))


def _gains(besides: Sequence[Beside], columns: "_Columns") -> str:
    """What the columns of gains mean."""
    base = "the one that it is compared with" if len(columns.bases) > 1 else repr(columns.bases[0])
    counts = {block.partition(":")[0]: len(_tests(own)) for block, own in _blocks(besides)}
    over = " and, apart, ".join(
        words.counted(count, "gain") + f" ({block})" * bool(block) for block, count in counts.items() if count
    )
    text = f"Gain: a row minus {base}, on the same records and resamples; "
    text += f"p two-sided, Holm-corrected over {over}; " * bool(over)
    text += "seeds that gain: pairs of fits of one seed."
    if any(b.gain and b.gain.published and b.gain.comparable for b in besides):
        text += f" A published gain holds where ours has its sign and p is at most {1 - LEVEL:g}."
    return text


def _tests(besides: Sequence[Beside]) -> dict[str, float]:
    """Uncorrected p of every gain of ours, by row."""
    return {b.row.row: b.gain.ours.p for b in besides if b.gain and b.gain.ours}


def _validated(beside: Beside) -> int:
    """Validation records behind a number."""
    rows = beside.summary.rows if beside.summary is not None else None
    if rows is None or beside.score is None:
        return 0
    own = rows[(rows["key"] == beside.score.keys[0]) & (rows["part"] == "val")]
    return int(own["records"].iloc[0])


_ALWAYS = ("row", "score", "verdict")


@dataclass(frozen=True)
class _Columns:
    """Which columns a table has.

    Attributes:
        vary: of 'leads', 'part', 'rule' and 'fraction' those in which its rows differ and that no name tells.
        bases: names of the rows that others are compared with.
    """

    besides: tuple[Beside, ...]
    vary: tuple[str, ...]
    bases: tuple[str, ...]

    @classmethod
    def of(cls, besides: tuple[Beside, ...]) -> "_Columns":
        """Those of these rows."""
        rows = [beside.row for beside in besides]
        named = besides[0].place.layout.named
        axes = (axis for axis in ("leads", "part", "rule", "fraction") if axis not in named)
        vary = (axis for axis in axes if len({getattr(row, axis) for row in rows if row.label}) > 1)
        bases = dict.fromkeys(beside.gain.minus for beside in besides if beside.gain)
        return cls(besides, tuple(vary), tuple(bases))

    @property
    def entries(self) -> list[str]:
        """Names of our entries, each once."""
        return list(dict.fromkeys(b.entry.name for b in self.besides if b.entry))

    def shown(self, rows: Sequence[Mapping[str, Cell]]) -> dict[str, Column]:
        """Columns by key, less those in which no row shows anything, and those that the caption can tell."""
        told = set() if len(self.bases) > 1 else {"minus"}
        told |= set() if len(self.entries) > 1 else {"ours"}
        if {b.score.seeds.n for b in self.besides if b.score} <= {self.besides[0].place.suite.seeds}:
            told.add("seeds")
        filled = {key for cells in rows for key, cell in cells.items() if cell != Cell()}
        kept = (filled | {*_ALWAYS}) - told
        return {key: column for key, column in self._columns() if key in kept}

    def _columns(self) -> Iterator[tuple[str, Column]]:
        told = {"leads": "leads", "part": "part", "rule": "masks", "fraction": "labels"}
        spread = self.besides[0].place.layout.spread
        scores = [beside.score for beside in self.besides if beside.score]
        yield "row", Column("row of the paper" if any(b.number for b in self.besides) else "row", left=True)
        yield "ours", Column("ours", left=True)
        yield from ((axis, Column(told[axis], left=axis == "leads")) for axis in self.vary)
        yield "published", Column(f"published {spread}".rstrip())
        yield "score", Column(f"ours ({SPAN})")
        yield "spread", Column(words.spread_head(scores))
        yield "seeds", Column("seeds")
        yield "gap", Column("ours − published")
        yield "minus", Column("compared with", left=True)
        yield "published gain", Column("published gain")
        yield "gain", Column(f"our gain ({SPAN})")
        yield "p", Column("p (Holm)")
        yield "above", Column("seeds that gain")
        yield "holds", Column("published gain holds")
        yield "verdict", Column("verdict")

    def where(self, row: SettingsRow) -> dict[str, Cell]:
        """Where a row lies on what varies."""
        told = {"part": _PARTS[row.part], "rule": SHORT[row.rule], "fraction": words.percent(row.fraction)}
        trained, evaluated = row.leads
        told["leads"] = trained if trained == evaluated else f"{trained}, evaluated on {evaluated}"
        return {axis: Cell(told[axis]) if row.label else Cell() for axis in self.vary}


def _rows(
    block: str, besides: Sequence[Beside], columns: _Columns
) -> Iterator[tuple[str, dict[str, Cell], dict[str, Any]]]:
    """Rows of a block, their cells by column; their p-values are corrected together."""
    tests = _tests(besides)
    corrected = dict(zip(tests, map(float, holm(list(tests.values()))), strict=True))
    for beside in besides:
        p = corrected.get(beside.row.row)
        cells = {
            "row": Cell(beside.row.row, notes=beside.marks()),
            "ours": Cell(beside.entry.name if beside.entry else DASH),
            **columns.where(beside.row),
            **_numbers(beside),
            **_gain_cells(beside, p),
            "verdict": Cell(beside.word, notes=beside.place.notes(*beside.because())),
        }
        yield block, cells, _data(beside, p)


def _numbers(beside: Beside) -> dict[str, Cell]:
    """Published with its ±, ours with interval, spread and seeds, the difference."""
    number, score, notes = beside.number, beside.score, beside.place.notes
    digits = _Digits(beside.place.layout.decimals)
    shown = dict.fromkeys(("published", "score", "spread", "seeds", "gap"), Cell())
    if number:
        printed = f" ± {digits.points(number.spread)}" if number.spread == number.spread else ""
        shown["published"] = Cell(f"{digits.points(number.mean)}{printed}")
    if score:
        text = f"{digits.points(score.seeds.mean)} ({digits.span(*score.interval)})"
        shown["score"] = Cell(text, notes=notes(*words.seed_notes(score)))
        shown["spread"] = Cell(digits.spread(score.seeds))
        shown["seeds"] = Cell(str(score.seeds.n))
    if beside.gap is not None:
        shown["gap"] = Cell(digits.gap(beside.gap))
    return shown


def _gain_cells(beside: Beside, p: float | None) -> dict[str, Cell]:
    gain, digits = beside.gain, _Digits(beside.place.layout.decimals)
    shown = dict.fromkeys(("minus", "published gain", "gain", "p", "above", "holds"), Cell())
    if gain is None:
        return shown
    shown["minus"] = Cell(gain.minus)
    if gain.published is not None:
        shown["published gain"] = Cell(digits.gap(gain.published))
    if gain.ours and p is not None:
        span = f"{digits.gap(gain.ours.low)} to {digits.gap(gain.ours.high)}"
        shown["gain"] = Cell(f"{digits.gap(gain.ours.value)} ({span})")
        shown["p"] = Cell(f"{p:.3f}")
        shown["above"] = Cell(f"{gain.above} of {len(gain.by_seed)}")
        shown["holds"] = Cell(gain.holds(p) or DASH)
    return shown


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
