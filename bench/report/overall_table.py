"""The table across corpora: one line an entry, with what it is worth on all settings of a suite together.

Its numbers are those of `bench.report.overall`; it stands in no corpus's folder, and its caption names every block.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from bench.report import words
from bench.report.inputs import input_line
from bench.report.metric import metric_of
from bench.report.overall import Overall, OverallRow, blocks_of, together
from bench.report.stats import Aggregate, ranks
from bench.report.summary import Entry, Summary
from bench.report.table import DASH, Cell, Column, Footnotes, Table, TableRow
from bench.report.tables import CONTROLS, STRATEGIES, make_table, named
from bench.run.suite import Suite

_LONG, _NAME = 30, 0.2  # rows of a table that breaks across pages; the width of its first column

_ENOUGH = 4  # seeds, for an interval over them
_FEW = "; over so few seeds it is too narrow, and covers less than that"

Emphasis = Literal["", "best", "second"]


def overall_table(overall: Overall, summaries: Sequence[Summary], suite: Suite, resamples: int) -> Table:
    """Interquartile mean at each label fraction, mean rank and probability of improvement at the largest.

    Strategies come first, the best at the largest fraction on top, then baselines, which are not ranked.

    Args:
        summaries: those from which `overall` was made, all of them.
        resamples: of the bootstrap over test patients.
    """
    notes = Footnotes()
    told = notes(overall.told)
    whole, blocks = together(overall, summaries), blocks_of(overall, summaries)
    page = _Page(overall, blocks, notes)
    entries = {entry.label: entry for entry in whole.entries}
    rows = tuple(page.row(entries[label]) for label in page.order())
    metric = metric_of(blocks)
    at = words.percent(overall.headline)
    what = (
        f"Across corpora: interquartile mean (IQM) of {metric.title} over {len(blocks)} blocks, mean rank and"
        " probability of improvement."
    )
    columns = (
        Column("strategy", left=True, width=_NAME * (len(rows) > _LONG)),
        *(Column(f"IQM at {words.percent(fraction)} labels") for fraction in overall.fractions),
        Column(f"mean rank at {at}", notes=told),
        Column(f"probability of improvement over {page.bases[0]} at {at}")
        if len(page.bases) == 1
        else Column(f"probability of improvement at {at}"),
        Column("paid for in training", left=True),
    )
    table = make_table("overall", what, whole, suite, columns, rows, notes)
    labels = {label for row in rows for label in (row.data["label"], row.data["base"]) if label}
    names = {label: name for label, name in words.titles(whole.entries).items() if label in labels}
    explained = _explained(overall, blocks, suite, page.bases, resamples)
    caption = f"{_conditions(overall, blocks, suite, names)} {explained}"
    return replace(table, caption=caption, long=len(rows) > _LONG)


@dataclass(frozen=True)
class _Page:
    """What the rows of the table are made from.

    Attributes:
        blocks: the settings, in the order of `overall.blocks`.
    """

    overall: Overall
    blocks: Sequence[Summary]
    notes: Footnotes

    @property
    def bases(self) -> list[str]:
        """Names of the rows that others are to improve on, at the headline fraction."""
        named_as = {row.label: row.name for row in self.overall.rows}
        return list(dict.fromkeys(named_as[row.base] for row in self._headline() if row.base))

    def order(self) -> list[str]:
        """Labels, strategies first, by the average at the headline fraction, those without one last."""
        at = {row.label: row for row in self._headline()}
        value = {label: row.iqm.value if row.iqm else -1 for label, row in at.items()}
        every = {row.label: row.origin for row in self.overall.rows}
        return sorted(every, key=lambda label: (every[label] != "strategy", -value.get(label, -1)))

    def row(self, entry: Entry) -> TableRow:
        """Cells and data of an entry."""
        own = {row.fraction: row for row in self.overall.rows if row.label == entry.label}
        at = own.get(self.overall.headline)
        cells = [Cell(entry.name)]
        cells += [self._iqm(entry.label, f, own.get(f)) for f in self.overall.fractions]
        cells += [self._rank(at), self._improvement(at), Cell(words.paid_for(entry.paid_for))]
        block = STRATEGIES if entry.origin == "strategy" else CONTROLS
        data = {**named(entry), "origin": entry.origin, "paid_for": " ".join(entry.paid_for)}
        return TableRow(block, tuple(cells), data | _data(self.overall, own))

    def _headline(self) -> tuple[OverallRow, ...]:
        return self.overall.at(self.overall.headline)

    def _iqm(self, label: str, fraction: float, row: OverallRow | None) -> Cell:
        """An average with its interval; else how many blocks it has, or a dash where none was asked for."""
        if row is None:
            return Cell()
        notes = self.notes(*self._told(label, fraction))
        if row.iqm is None:
            return Cell(f"{row.present} of {row.of}", notes=notes)
        values = {
            one.label: -one.iqm.value
            for one in self.overall.at(fraction)
            if one.iqm and one.origin == "strategy"
        }
        shown = f"{words.points(row.iqm.value)} ({words.span(row.iqm.low, row.iqm.high)})"
        return Cell(shown, _emphasis(values, label), notes=notes)

    def _rank(self, row: OverallRow | None) -> Cell:
        if row is None or row.mean_rank is None:
            return Cell()
        shown = f"{row.mean_rank:.1f} ({row.rank_low:.1f} to {row.rank_high:.1f})"
        return Cell(
            shown, _emphasis({one.label: one.mean_rank or 0 for one in self.overall.ranked}, row.label)
        )

    def _improvement(self, row: OverallRow | None) -> Cell:
        """A probability; over which row in a footnote where rows have several."""
        if row is None or row.improvement is None:
            return Cell()
        found, names = row.improvement, {one.label: one.name for one in self.overall.rows}
        over = f"Over {names[row.base]}" if len(self.bases) > 1 else ""
        return Cell(
            f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})" if found.low == found.low else DASH,
            notes=self.notes(over),
        )

    def _told(self, label: str, fraction: float) -> list[str]:
        """What a reader must know of the runs behind a cell, and of those that are missing."""
        told: dict[str, list[str]] = {}
        for name, summary in zip(self.overall.blocks, self.blocks, strict=True):
            for text in _block_notes(summary, label, fraction):
                told.setdefault(text, []).append(name)
        whole = len(self.overall.blocks)
        return [
            text if len(found) == whole else f"{'; '.join(found)}: {text}" for text, found in told.items()
        ]


def _block_notes(summary: Summary, label: str, fraction: float) -> Iterator[str]:
    """Of one block: notes on its seeds, or why it has no result."""
    entry = summary.entry(label)
    score = summary.score(entry, fraction) if entry else None
    if entry is None:
        yield "this row is not there"
    elif score is None:
        yield from words.missing_notes(entry, fraction) or ("not asked for",)
    elif score.seeds.mean != score.seeds.mean:
        yield "no class has both a positive and a negative test record"
    else:
        yield from words.seed_notes(score)


def _emphasis(values: Mapping[str, float], label: str) -> Emphasis:
    """Best or second of several values, the lowest being the best."""
    if label not in values or len(values) < 2:
        return ""
    place = int(ranks([-value for value in values.values()])[list(values).index(label)])
    return "best" if place == 1 else "second" if place == 2 else ""


def _data(overall: Overall, own: Mapping[float, OverallRow]) -> dict[str, Any]:
    """The numbers of a row for the CSV: scores as fractions of 1."""
    data: dict[str, Any] = {"of": len(overall.blocks)}
    for fraction in overall.fractions:
        row = own.get(fraction)
        data |= {f"blocks@{fraction:g}": row.present if row else None}
        data |= _aggregate_data(f"iqm@{fraction:g}", row.iqm if row else None)
    row = own.get(overall.headline)
    ranked = (row.mean_rank, row.rank_low, row.rank_high) if row else (None,) * 3
    data |= dict(zip(("mean_rank", "mean_rank_low", "mean_rank_high"), ranked, strict=True))
    data |= {"base": row.base if row else ""}
    return data | _aggregate_data("improvement", row.improvement if row else None)


def _aggregate_data(name: str, found: Aggregate | None) -> dict[str, float | None]:
    values = (found.value, found.low, found.high) if found else (None,) * 3
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def _conditions(overall: Overall, blocks: Sequence[Summary], suite: Suite, names: Mapping[str, str]) -> str:
    """Every block with its task, split and test part; scale, encoder, leads, input, budget and seeds."""
    here = {name: _suite_on(suite, block) for name, block in zip(overall.blocks, blocks, strict=True)}
    told = "; ".join(
        f"{s.title}, task {s.task}, split {words.split_of(s)}, protocol {s.protocol or 'unknown'},"
        f" {words.judged(block, own)}"
        for block, own, s in zip(blocks, here.values(), (block.setting for block in blocks), strict=True)
    )
    s, first = blocks[0].setting, next(iter(here.values()))
    encoder = ", ".join([s.encoder, *words.encoder_arguments(first, names)]) + words.own_encoders(
        first, names
    )
    fractions = f"; label fractions: {words.share_of(_kinds(blocks))}" * (overall.fractions != (1.0,))
    text = (
        f"Blocks: {told}. Scale {s.scale}; encoder {encoder}; leads {words.leads_of(s)};"
        f" {_by_block(here, lambda own: input_line(own, names))};"
        f" budget {_by_block(here, lambda own: words.budget_line(own, names))}{fractions};"
        f" {words.counted(suite.seeds, 'seed')}."
    )
    if any(block.kept < block.total for block in blocks):
        text += " Macro averages leave out a class without a positive or without a negative in the test part."
    terms = {block.setting.corpus: block.terms.removeprefix("Corpus: ") for block in blocks if block.terms}
    return text + "".join(f" {corpus}: {told}" for corpus, told in terms.items())


def _kinds(blocks: Sequence[Summary]) -> list[str]:
    return list(dict.fromkeys(kind for block in blocks for kind in block.fractions_by))


def _suite_on(suite: Suite, block: Summary) -> Suite:
    """The suite as it runs on a block's corpus."""
    place = block.setting.corpus, block.setting.task
    use = next((use for use in suite.corpora if (use.corpus, use.task) == place), None)
    return suite.on(use) if use else suite


def _by_block(here: Mapping[str, Suite], describe: Callable[[Suite], str]) -> str:
    """A description of the suite, block by block where they differ."""
    found = {name: describe(own) for name, own in here.items()}
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return "; ".join(f"{name}: {text}" for name, text in found.items())


def _explained(
    overall: Overall, blocks: Sequence[Summary], suite: Suite, bases: Sequence[str], resamples: int
) -> str:
    """What the columns mean."""
    at = words.percent(overall.headline)
    few = suite.seeds < _ENOUGH
    over = bases[0] if len(bases) == 1 else "the row that its footnote names"
    better = (
        f" Probability of improvement at {at}: that a run scores above a run of {over} on the same block, ties counted"
        " half, mean over blocks; brackets: 95\u00a0% interval over seeds."
    )
    return (
        "IQM: the mean of the middle half of a row's runs, one a seed and block; brackets: 95\u00a0% interval, seeds"
        f" and test patients resampled within each block ({resamples:,} resamples){_FEW * few}. Mean rank at {at}"
        " labels: over the blocks, among strategies that have them all; brackets: mean over blocks of the rank"
        f" intervals over test patients, with these seeds.{better * bool(bases)} A row that lacks a block, or"
        f" a seed of one, has no average, but the number of its blocks.{_left_out(overall, blocks)} Bold: best,"
        " underlined: second strategy. Paid for: what training reads beside the signal; the probe's labels are not"
        " counted."
    )


def _left_out(overall: Overall, blocks: Sequence[Summary]) -> str:
    """Label fractions that were asked for, and at which some block has no result."""
    asked = {fraction for block in blocks for fraction in block.fractions}
    gone = ", ".join(words.percent(fraction) for fraction in sorted(asked - set(overall.fractions)))
    return f" Not at {gone} labels, where some block has no result." if gone else ""
