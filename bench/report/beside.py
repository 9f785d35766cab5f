"""One row of a paper's table of groups, and ours beside it: its numbers, whether they compare, and how both are shown.

Published numbers are of the validation part. Ours on validation stand beside them; ours on test are the better ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from bench.data.corpus import PreparedCorpus
from bench.report import words
from bench.report.group_cells import (
    PARTS,
    Part,
    attribute_of,
    metric_of,
    over_seeds_text,
    published_text,
    seed_data,
    with_interval,
)
from bench.report.group_summary import GroupEntry, GroupSummary
from bench.report.layout import Conditions, GroupLayout, GroupRow, LayoutRow
from bench.report.published import Number, Verdict, at_path, judge
from bench.report.stats import Seeds
from bench.report.table import DASH, Cell, Footnotes
from bench.run.plan import Plan
from bench.run.suite import Suite

_IDENTICAL = "All seeds gave the same groups: nothing random is left here, and no spread over seeds exists"
_MAPPINGS = ("acc_hungarian", "acc_oracle", "acc_majority", "acc_identity")


@dataclass(frozen=True)
class Place:
    """One table of a paper on one setting.

    Attributes:
        suite: as it runs on this corpus.
        numbers: published on this corpus, by row and cell.
        notes: of the table.
    """

    layout: GroupLayout
    plan: Plan
    summary: GroupSummary
    suite: Suite
    corpus: PreparedCorpus
    numbers: dict[tuple[str, str], Number]
    notes: Footnotes

    @property
    def base(self) -> str:
        """Name of the published corpus."""
        return self.corpus.name.removesuffix("-sim")

    @property
    def conditions(self) -> Conditions:
        """The published ones on this corpus."""
        return self.layout.corpora[self.base]

    def has_published(self, cell: str) -> bool:
        """Whether any row of the table has a published number in a column."""
        return any(known == cell for _, known in self.numbers)


@dataclass(frozen=True)
class Beside:
    """A row of a layout, with what the run found."""

    place: Place
    row: GroupRow

    @cached_property
    def entries(self) -> tuple[GroupEntry, ...]:
        """Ours: one, or one an attribute where each has a fit of its own; those that the run asked for."""
        known = {(e.label, e.grouping): e for e in self.place.summary.entries}
        return tuple(
            known[label, self.row.grouping] for label in self._labels if (label, self.row.grouping) in known
        )

    @property
    def _labels(self) -> tuple[str, ...]:
        """Labels that this table's columns take their numbers from."""
        return tuple(dict.fromkeys(self.row.label_of(attribute_of(c)) for c in self.place.layout.columns()))

    @property
    def name(self) -> str:
        """What tables print for ours: 'CROCS, CP', or 'SeLA' where bare ids are its own."""
        return " / ".join(entry.title for entry in self.entries) or DASH

    def paid_for(self) -> tuple[str, ...]:
        """A footnote on what training read beside the signal; none where there is no entry of ours."""
        told = dict.fromkeys(words.paid_for(entry.paid_for) for entry in self.entries)
        return (f"Paid for in training: {' / '.join(told)}",) if told else ()

    def seeds(self, cell: str, part: Part) -> Seeds | None:
        """Our number in a cell, as a fraction; None where there is no result."""
        return self._value(attribute_of(cell), part, self._metric(cell))

    def _value(self, attribute: str, part: Part, metric: str) -> Seeds | None:
        if metric == "acc_identity" and self.row.values == "read off":
            return None  # ids that stand for something are not numbers of values
        label = self.row.label_of(attribute)
        return self.place.summary.value(label, self.row.grouping, part, attribute, metric)

    def interval(self, cell: str) -> tuple[float, float]:
        """95 % over test patients; NaN where there is none."""
        attribute = attribute_of(cell)
        label = self.row.label_of(attribute)
        return self.place.summary.interval(label, self.row.grouping, "test", attribute, self._metric(cell))

    def _metric(self, cell: str) -> str:
        return metric_of(cell, read_off=self.row.values == "read off")

    def found(self) -> list[Seeds]:
        """Every number of ours."""
        every = (self.seeds(cell, part) for cell in self.place.layout.columns() for part in PARTS)
        return [seeds for seeds in every if seeds]

    @property
    def count(self) -> str:
        """How many seeds the numbers are means of."""
        counts = [str(n) for n in sorted({seeds.n for seeds in self.found()})]
        return " / ".join(counts) or DASH

    @cached_property
    def number(self) -> dict[str, Number]:
        """Published numbers of the row, by cell."""
        return {cell: n for (row, cell), n in self.place.numbers.items() if row == self.row.row}

    @cached_property
    def verdict(self) -> Verdict | None:
        """Whether ours can be held against the published row; None where one of the two is missing."""
        verdicts = [self._judged(entry) for entry in self.entries if entry.keys]
        if not verdicts or not self.number:
            return None
        words_ = [v.word for v in verdicts]
        worst = next(w for w in ("not comparable", "near", "same") if w in words_)
        reasons = dict.fromkeys(line for v in verdicts for line in v.reasons)
        differences = dict.fromkeys(line for v in verdicts for line in v.differences)
        return Verdict(worst, tuple(reasons), tuple(differences))

    def _judged(self, entry: GroupEntry) -> Verdict:
        own = self.place.conditions
        own = own.model_copy(update={"differs": (*own.differs, *self.row.also_differs)})
        return judge(own, self.row, self.facts(entry))

    def facts(self, entry: GroupEntry) -> dict[str, Any]:
        """What conditions and axes look at: the corpus, and the cells of a finished entry."""
        place = self.place
        return {
            "simulated": place.summary.setting.simulated,
            "scale": place.summary.setting.scale,
            "records": len(place.corpus.targets(place.summary.setting.task)),
            "seeds": len(entry.keys),
            "corpus": {"name": place.corpus.name, "facts": place.corpus.facts},
            "fit": place.plan.jobs[entry.fit_keys[0]].cell.model_dump(mode="json"),
            "group": place.plan.jobs[entry.keys[0]].cell.model_dump(mode="json"),
        }

    @property
    def word(self) -> str:
        """The verdict in a word."""
        return "no result" if not self.found() else self.verdict.word if self.verdict else "ours"

    def because(self) -> tuple[str, ...]:
        """What a reader must know of the verdict, of missing seeds, or of why there is no result."""
        asked = {entry.label for entry in self.entries}
        lines = [f"The run did not ask for {label!r}" for label in self._labels if label not in asked]
        for entry in self.entries:
            lines += words.missing_notes(entry, entry.fraction)
        for seeds in self.found():
            lines += words.lost_seeds(seeds, max(entry.wanted for entry in self.entries))
            lines += [_IDENTICAL] if seeds.identical else []
        return (*dict.fromkeys(lines), *self._compared())

    def _compared(self) -> tuple[str, ...]:
        """The verdict in words; what differs in this row only stands apart, so that rows share a footnote."""
        if self.verdict is None:
            return ()
        plain = LayoutRow(row=self.row.row)
        finished = [entry for entry in self.entries if entry.keys]
        common = {d for e in finished for d in judge(self.place.conditions, plain, self.facts(e)).differences}
        shared = tuple(d for d in self.verdict.differences if d in common)
        own = "; ".join(d for d in self.verdict.differences if d not in common)
        lines = replace(self.verdict, differences=shared).lines()
        return (*lines, f"In this row {'also ' if shared else ''}differ: {own}") if own else lines

    def axis(self) -> str:
        """The value of what an ablation varies."""
        axis, finished = self.place.layout.axis, [entry for entry in self.entries if entry.keys]
        if axis is None or not finished:
            return DASH
        found = at_path(self.facts(finished[0]), axis.path)
        return DASH if found is None else words.percent(found) if axis.percent else f"{found:g}"

    def marks(self, cell: str = "") -> tuple[int, ...]:
        """Footnotes of the row, or of one of its cells, on this corpus."""
        keys = self.row.cells.get(self.place.base, {}).get(cell, ()) if cell else self.row.footnotes
        return self.place.notes(*(self.place.layout.footnotes[key] for key in keys))

    def shown(self, cell: str) -> Iterator[Cell]:
        """Published, where the column has any; ours on validation; their difference; ours on test."""
        compared, (val, test) = self.place.has_published(cell), self.texts(cell)
        if compared:
            yield Cell(published_text(self.number.get(cell)), notes=self.marks(cell))
        yield Cell(val, notes=() if compared else self.marks(cell))
        if compared and self.place.layout.kind == "clustering":
            gap = self.gap(cell)
            yield Cell(DASH if gap is None else words.gap(gap, scale=1))
        yield Cell(test)

    def texts(self, cell: str) -> tuple[str, str]:
        """Validation and test of a cell."""
        return over_seeds_text(self.seeds(cell, "val")), with_interval(
            self.seeds(cell, "test"), self.interval(cell)
        )

    def gap(self, cell: str) -> float | None:
        """Ours on validation minus published, in points; None where the two cannot be compared."""
        if self.verdict is None or not self.verdict.compares:
            return None
        number, ours = self.number.get(cell), self.seeds(self.row.compared_by.get(cell, cell), "val")
        return 100 * ours.mean - number.mean if ours and number else None

    def identity(self) -> dict[str, Any]:
        """Who is meant, for the CSV."""
        titles = " / ".join(dict.fromkeys(entry.name for entry in self.entries))
        paid_for = " ".join(dict.fromkeys(field for entry in self.entries for field in entry.paid_for))
        named = {"label": " / ".join(self._labels), "grouping": self.row.grouping, "title": titles}
        return {**named, "paid_for": paid_for}

    def data(self, cell: str, name: str = "") -> dict[str, Any]:
        """Everything about a cell, for the CSV; published and difference in points, ours as fractions."""
        name, number = name or cell, self.number.get(cell)
        found: dict[str, Any] = {}
        if self.place.has_published(cell):
            published = {"published": number.mean, "published_spread": number.spread} if number else {}
            found |= {f"{name}_{what}": published.get(what) for what in ("published", "published_spread")}
            found[f"{name}_difference"] = self.gap(cell)
        for part in PARTS:
            found |= seed_data(f"{name}_{part}", self.seeds(cell, part))
        low, high = self.interval(cell)
        return found | ({f"{name}_test_low": low, f"{name}_test_high": high} if low == low else {})

    def mappings(self, attribute: str) -> dict[str, float | None]:
        """Accuracy under every mapping of ids to values, mean over seeds, for the CSV."""
        values = {(m, p): self._value(attribute, p, m) for m in _MAPPINGS for p in PARTS}
        return {f"{attribute}_{m}_{p}": seeds.mean if seeds else None for (m, p), seeds in values.items()}
