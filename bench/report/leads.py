"""What fewer leads cost: every entry by the lead set it was trained on and the one it was evaluated with.

The one table across settings of ours: it takes its numbers from all settings that differ in their lead sets alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.data.leads import LEAD_SETS
from bench.report import words
from bench.report.metric import Metric, metric_of
from bench.report.stats import Difference
from bench.report.summary import Entry, Score, Setting, Summary
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
    score_data,
)
from bench.run.suite import Suite

Leads = tuple[str, str]
"""The lead set that was trained on, and the one that was evaluated with."""

A_PART = (
    " Evaluated with a part of the leads: the same fit, the other leads being zero after scaling, which knows the"
    " part's statistics alone; a read-out is fitted on embeddings of the part, a classifier is not fitted again."
)

_LONG, _NAME = 30, 0.2  # rows of a table that breaks across pages; the width of its first column


@dataclass(frozen=True)
class OnLeads:
    """One entry in every setting of a group.

    Attributes:
        fraction: label fraction of its scores.
        found: the entry's own row by lead sets.
    """

    fraction: float
    found: Mapping[Leads, tuple[Summary, Entry]]

    @property
    def entry(self) -> Entry:
        """The entry in one of the settings, with a score if there is one."""
        rows = [entry for _, entry in self.found.values()]
        return next((row for row in rows if self._scored(row)), rows[0])

    @property
    def trained(self) -> list[str]:
        """Lead sets that it was trained on, the widest first."""
        return widest_first(trained for trained, _ in self.found)

    @property
    def evaluated(self) -> list[str]:
        """Lead sets that it was evaluated with, the widest first."""
        return widest_first(evaluated for _, evaluated in self.found)

    @property
    def scored(self) -> bool:
        """Is there any score?"""
        return any(self._scored(entry) for _, entry in self.found.values())

    def score(self, trained: str, evaluated: str) -> Score | None:
        """The score with these lead sets; None where there is none."""
        summary, entry = self.found.get((trained, evaluated), (None, None))
        return summary.score(entry, self.fraction) if summary and entry else None

    def loss(self, trained: str, part: str) -> Difference | None:
        """A part's score of the fit on more leads, minus that of the fit on just these, on the same test records."""
        own, base = self.score(trained, part), self.score(part, part)
        return own.minus(base) if own and base and trained != part else None

    def missing(self, trained: str, evaluated: str) -> tuple[str, ...]:
        """Why there is no score with these lead sets; nothing where nobody asked for one."""
        _, entry = self.found.get((trained, evaluated), (None, None))
        return words.missing_notes(entry, self.fraction) if entry else ()

    def _scored(self, entry: Entry) -> bool:
        return (self.fraction, "subset") in entry.scores


def by_leads(summaries: Iterable[Summary]) -> list[list[Summary]]:
    """Summaries whose settings differ in their lead sets alone, group by group, in the order given."""
    groups: dict[Setting, list[Summary]] = {}
    for summary in summaries:
        alike = replace(summary.setting, lead_set="", eval_lead_set="")
        groups.setdefault(alike, []).append(summary)
    return list(groups.values())


def on_leads(summaries: Sequence[Summary]) -> list[OnLeads]:
    """Entries of one group of `by_leads` that are there with several lead sets, at the group's largest fraction."""
    fraction = max((summary.headline for summary in summaries), default=1.0)
    found: dict[Key, dict[Leads, tuple[Summary, Entry]]] = {}
    for summary in summaries:
        leads = summary.setting.lead_set, summary.setting.eval_lead_set
        for entry in summary.entries:
            found.setdefault(entry.key, {})[leads] = summary, entry
    return [OnLeads(fraction, own) for own in found.values() if len(own) > 1]


def widest_first(names: Iterable[str]) -> list[str]:
    """Lead sets, each once, by the number of their leads, and in the order of `LEAD_SETS`."""
    order = list(LEAD_SETS)
    return sorted(set(names), key=lambda name: (-len(LEAD_SETS[name]), order.index(name)))


def leads_told(names: Iterable[str]) -> str:
    """The leads of each set: 'challenge-3 (I, II, V2); challenge-2 (I, II)'."""
    return "; ".join(f"{name} ({', '.join(LEAD_SETS[name])})" for name in names)


def leads_table(summaries: Sequence[Summary], suite: Suite, resamples: int) -> Table | None:
    """A row an entry and lead set that it was trained on, a column a lead set that it was evaluated with.

    Args:
        summaries: of one group of `by_leads`, with one metric.
        resamples: of the bootstrap over test patients.

    Returns:
        None where no entry has several lead sets.
    """
    shown = on_leads(summaries)
    if not shown:
        return None
    notes, metric = Footnotes(), metric_of(summaries, {own.fraction for own in shown})
    columns = _Columns.of(shown)
    rows = tuple(
        _row(block, own, trained, columns, metric, notes)
        for block, entries in _blocks(shown)
        for own in entries
        for trained in own.trained
    )
    what = (
        f"Lead sets{', Challenge metric' * bool(metric.ending)}: {metric.head} at"
        f" {words.percent(shown[0].fraction)} labels by the leads trained on (rows) and evaluated with (columns),"
        " mean over seeds."
    )
    more = _explained(columns, metric, suite, resamples)
    together = _together(summaries, shown, metric)
    heads = columns.heads(len(rows) > _LONG)
    table = make_table(f"leads{metric.ending}", what, together, suite, heads, rows, notes, more)
    context = {name: value for name, value in table.context.items() if not name.endswith("lead_set")}
    return replace(table, context=context, long=len(rows) > _LONG)


@dataclass(frozen=True)
class _Columns:
    """Lead sets that have columns: of scores, and of differences; the widest first.

    Attributes:
        cut: some row is evaluated with a part of the leads that it was trained on.
    """

    evaluated: list[str]
    parts: list[str]
    cut: bool

    @classmethod
    def of(cls, shown: Sequence[OnLeads]) -> "_Columns":
        evaluated = widest_first(name for own in shown for name in own.evaluated)
        losses = [(own, part) for own in shown for trained, part in own.found if trained != part]
        parts = {part for own, part in losses if (part, part) in own.found}
        return cls(evaluated, [name for name in evaluated if name in parts], bool(losses))

    def heads(self, long: bool) -> tuple[Column, ...]:
        """Of the columns."""
        first = Column("strategy", left=True, width=_NAME * long), Column("trained on", left=True)
        scores = [f"on {name}" for name in self.evaluated]
        losses = [f"{name} − trained on it" for name in self.parts]
        return (*first, *map(Column, [*scores, *losses]))


def _blocks(shown: Sequence[OnLeads]) -> list[tuple[str, list[OnLeads]]]:
    """Entries with any score by block, in the suite's order, and those without."""
    scored = [own for own in shown if own.scored]
    blocks = [(block, [o for o in scored if o.entry.origin == origin]) for block, origin in BLOCKS.items()]
    return [*blocks, (NOTHING, [own for own in shown if not own.scored])]


def _row(
    block: str, own: OnLeads, trained: str, columns: _Columns, metric: Metric, notes: Footnotes
) -> TableRow:
    data: dict[str, Any] = {**named(own.entry), "lead_set": trained, "fraction": own.fraction}
    cells = [Cell(own.entry.name), Cell(trained)]
    for name in columns.evaluated:
        score = own.score(trained, name)
        cells.append(score_cell(score, notes) if score else nothing_cell(own.missing(trained, name), notes))
        data |= {f"{name}_{what}": value for what, value in score_data(score, metric.name).items()}
    for name in columns.parts:
        loss = own.loss(trained, name)
        cells.append(Cell(words.with_span(loss) if loss else DASH))
        data |= difference_data(f"{name}_minus_trained_on_it", loss)
    return TableRow(block, tuple(cells), data)


def _explained(columns: _Columns, metric: Metric, suite: Suite, resamples: int) -> str:
    """What the columns mean."""
    text = f"Lead sets: {leads_told(columns.evaluated)}.{A_PART * columns.cut}{metric.explained}"
    if columns.parts:
        text += (
            " Last columns: a fit on more leads with a part of them, minus the same entry trained on just these, on the"
            f" same test records; brackets: {words.INTERVAL}, by {resamples:,} paired bootstrap resamples, not"
            f" corrected for their number.{words.for_these_encoders(suite.seeds)}"
        )
    return text


def _together(summaries: Sequence[Summary], shown: Sequence[OnLeads], metric: Metric) -> Summary:
    """All settings as one, for the caption: the leads are those of each row and column."""
    first = next((summary for summary in summaries if summary.records), summaries[0])
    setting = replace(first.setting, lead_set="of each row", eval_lead_set="those of each column")
    entries = tuple(own.entry for own in shown)
    kept = first.total if metric.ending else first.kept  # the Challenge metric counts every class
    return replace(first, setting=setting, entries=entries, fractions=(shown[0].fraction,), kept=kept)
