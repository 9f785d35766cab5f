"""What stands in a published grid on one setting: every published number there, ours beside it, and the verdict.

A number of ours is found by label, corpus pre-trained on and label fraction; the setting has the rest.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from bench.data.corpus import PreparedCorpus
from bench.report import words
from bench.report.layout import Conditions, GridColumn, GridLayout, GridRow, LayoutRow, Side
from bench.report.paper_common import base_name, score_facts
from bench.report.published import Number, Place, Verdict, judge
from bench.report.summary import Entry, Score, Summary
from bench.report.table import Footnotes
from bench.run.plan import Plan
from bench.run.suite import Suite


@dataclass(frozen=True)
class Grid:
    """One published grid on one setting.

    Attributes:
        suite: as it runs on this corpus.
        numbers: that the grid shows, on this setting or any other.
        notes: of the table.
    """

    name: str
    layout: GridLayout
    plan: Plan
    summary: Summary
    suite: Suite
    corpus: PreparedCorpus
    numbers: dict[Place, Number]
    notes: Footnotes

    @cached_property
    def columns(self) -> list[GridColumn]:
        """Those about this corpus and task, where the grid is about this lead set and length of the embedding."""
        here, layout = self.summary.setting, self.layout
        leads = {here.lead_set, here.eval_lead_set}
        if layout.reason or (layout.lead_set and leads != {layout.lead_set}):
            return []
        if layout.dim and layout.dim not in _dims(self.plan, self.summary):
            return []
        where = base_name(here.corpus), here.task
        return [column for column in layout.columns if (column.corpus, column.task) == where]

    def beside(self) -> Iterator[list["Beside"]]:
        """Every row of this setting: one number a side."""
        for column in self.columns:
            for row in self.layout.rows:
                yield from self._rows(row, column)

    def controls(self) -> Iterator[list["Beside"]]:
        """Rows of ours that the paper's table lacks."""
        for row in self.layout.controls:
            yield from self._rows(row, self.columns[0])

    def _rows(self, row: GridRow, column: GridColumn) -> Iterator[list["Beside"]]:
        """At every label fraction; once where there is nothing at any."""
        fractions = self.layout.fractions
        for fraction in fractions[:1] if self.is_bare(row) else fractions:
            yield [Beside(self, row, column, side, fraction) for side in self.layout.sides]

    def is_bare(self, row: GridRow) -> bool:
        """Neither published nor ours: it is there for its reason alone."""
        return bool(row.reason) and all(place.row != row.row for place in self.numbers)


def _dims(plan: Plan, summary: Summary) -> set[Any]:
    """Lengths of the embeddings of a setting, as their encoders' arguments say."""
    cells = (plan.jobs[key].cell for key in summary.rows["fit_key"].unique() if key in plan.jobs)
    return {cell.encoder.arguments.get("dim") for cell in cells if cell.stage == "fit"}


@dataclass(frozen=True)
class Beside:
    """One published number, and ours beside it; either may be missing."""

    grid: Grid
    row: GridRow
    column: GridColumn
    side: Side
    fraction: float

    @cached_property
    def label(self) -> str:
        """Of our entry; empty where there is none."""
        return self.row.label_of(self.side)

    @property
    def wanted(self) -> str | None:
        """Corpus pre-trained on that it asks for, '' being the one evaluated; None: any."""
        return self.column.source if self.row.source is None else self.row.source

    @cached_property
    def entry(self) -> Entry | None:
        """Ours, from the corpus that the column asks for; from this one where it does not say, or else from another."""
        found = [entry for entry in self.grid.summary.entries if entry.label == self.label]
        found = [entry for entry in found if self.wanted in (None, base_name(entry.source))]
        return min(found, key=lambda entry: entry.source, default=None)

    @cached_property
    def score(self) -> Score | None:
        """Of our entry at this label fraction."""
        return self.grid.summary.score(self.entry, self.fraction) if self.entry else None

    @cached_property
    def number(self) -> Number | None:
        """As published."""
        place = Place(self.row.row, self.column.published, self.side.setting, self.fraction)
        return self.grid.numbers.get(place)

    @property
    def shared(self) -> Conditions:
        """Conditions of every row of the table."""
        return self.grid.layout.conditions(self.column, self.side)

    @property
    def own(self) -> Conditions:
        """Those with the row's."""
        places = (self.side.name, self.column.published)
        mine = [self.row.where[place] for place in places if place in self.row.where]
        return self.shared.joined(*mine, Conditions(differs=self.row.also_differs))

    @cached_property
    def _facts(self) -> dict[str, Any]:
        grid = self.grid
        return score_facts(grid.plan, grid.summary, grid.corpus, self.score) if self.score else {}

    @cached_property
    def verdict(self) -> Verdict | None:
        """Whether the two can be held against each other; None where one is missing."""
        return judge(self.own, self.row, self._facts) if self.score and self.number else None

    @property
    def gap(self) -> float | None:
        """Ours minus published, in points; None where they cannot be compared."""
        if not (self.score and self.number and self.verdict and self.verdict.compares):
            return None
        return 100 * (self.score.seeds.mean - self.number.mean)

    @property
    def word(self) -> str:
        """The verdict in a word; none where the row says nothing of this side."""
        if self.score is None:
            return "no result" if self.label or self.row.reason else ""
        return self.verdict.word if self.verdict else "ours"

    def because(self) -> tuple[str, ...]:
        """What a reader must know of the verdict, or why there is no result."""
        if self.verdict:
            return self._compared(self.verdict)
        if self.score:
            return ()
        if self.row.reason or not self.label:
            return (self.row.reason,)
        if self.entry is None:
            return (self._absent(),)
        nothing = (f"The run did not ask for {words.percent(self.fraction)} labels",)
        return words.missing_notes(self.entry, self.fraction) or nothing

    def _absent(self) -> str:
        """Why there is no entry: the run has none of this label, or none that was pre-trained where the paper's was."""
        if all(entry.label != self.label for entry in self.grid.summary.entries):
            return f"The run did not ask for {self.label!r}"
        where = words.CORPORA.get(self.wanted, self.wanted) if self.wanted else "this corpus"
        return f"Not pre-trained on {where} in this run"

    def _compared(self, verdict: Verdict) -> tuple[str, ...]:
        """The verdict in words; what differs in this row only stands apart, so that rows share a footnote."""
        common = judge(self.shared, LayoutRow(row=self.row.row), self._facts).differences
        shared = tuple(line for line in verdict.differences if line in common)
        own = "; ".join(line for line in verdict.differences if line not in common)
        lines = replace(verdict, differences=shared).lines()
        return (*lines, f"In this row {'also ' if shared else ''}differ: {own}") if own else lines

    def marks(self) -> tuple[int, ...]:
        """Footnotes of the row, and of its numbers in this column."""
        keys = (*self.row.footnotes, *self.row.cells.get(self.column.published, ()))
        return self.grid.notes(*(self.grid.layout.footnotes[key] for key in keys))
