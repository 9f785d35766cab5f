"""Rows of our own tables of groupings: which come first, which stand out, and how a row of each kind is made."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bench.report import words
from bench.report.group_summary import GroupEntry, GroupSummary
from bench.report.stats import Seeds
from bench.report.table import Cell, Footnotes, TableRow
from bench.report.tables import NOTHING, named

STRATEGIES, BASELINES, VARIANTS, FLOORS = "strategies", "baselines", "variants", "floors"

_ORIGINS = {"strategy": STRATEGIES, "baseline": BASELINES}

Emphasis = Literal["", "best", "second"]
Marks = Mapping[tuple[str, str], Emphasis]
"""Emphasis by label and grouping."""


def blocks_of(entries: Sequence[GroupEntry]) -> dict[tuple[str, str], str]:
    """The block of every entry of a table, by label and grouping.

    A variant is an entry of a strategy that stands in the table under its own name too.
    """
    there = {entry.label for entry in entries}
    return {
        e.place: VARIANTS
        if e.label != e.strategy and e.strategy in there
        else _ORIGINS.get(e.origin, VARIANTS)
        for e in entries
    }


class Numbers:
    """The numbers of one part and attribute."""

    def __init__(self, summary: GroupSummary, part: str, attribute: str) -> None:
        self.summary, self.part, self.attribute = summary, part, attribute

    def of(self, entry: GroupEntry, metric: str) -> Seeds | None:
        """A metric of an entry; nothing for ids taken as values where they stand for values anyway."""
        if metric == "acc_identity" and entry.reads_off:
            return None
        return self.summary.value(entry.label, entry.grouping, self.part, self.attribute, metric)

    def clusters(self, entry: GroupEntry) -> int:
        """Ids that an entry may use, or its queries."""
        return self.summary.clusters(entry.label, entry.grouping, self.attribute)

    def emphasis(self, entries: Sequence[GroupEntry], metric: str) -> Marks:
        """Best and second row as printed: no second where several are best, nothing that a floor reaches."""
        values = {entry.place: value.mean for entry in entries if (value := self.of(entry, metric))}
        printed = {place: words.points(value) for place, value in values.items()}
        levels = list(dict.fromkeys(printed[place] for place in sorted(values, key=lambda p: -values[p])))
        if len(levels) < 2:
            return {}
        alone = list(printed.values()).count(levels[0]) == 1
        marks: dict[str, Emphasis] = {levels[0]: "best", **({levels[1]: "second"} if alone else {})}
        return {
            place: marks[text]
            for place, text in printed.items()
            if text in marks and not self._reached(place, values[place], metric)
        }

    def _reached(self, place: tuple[str, str], value: float, metric: str) -> bool:
        """Whether a floor, as printed, is as high as a row's number, or as its interval's lower end if it has one."""
        low, _ = self.summary.interval(*place, self.part, self.attribute, metric)
        bound = value if low != low else low
        floors = [f.get(metric, 0.0) for f in self.summary.floors(self.part, self.attribute).values()]
        return any(floor >= bound or words.points(floor) == words.points(bound) for floor in floors)

    def cell(self, entry: GroupEntry, metric: str, marks: Marks) -> Cell:
        """A number as it is printed."""
        value = self.of(entry, metric)
        if value is None:
            return Cell()
        if metric in ("used", "distinct_top"):
            return Cell(f"{count(value.mean)} of {self.clusters(entry)}")
        return Cell(words.points(value.mean), marks.get(entry.place, ""))


def ordered(entries: Sequence[GroupEntry], shown: Numbers, val: Numbers, metric: str) -> list[GroupEntry]:
    """Entries with a result, block by block: the best of the validation part first, variants as the suite has them."""
    blocks = blocks_of(entries)
    have = [entry for entry in entries if shown.of(entry, metric)]

    def rank(entry: GroupEntry) -> float:
        value = val.of(entry, metric)
        return -value.mean if value else float("inf")

    found = []
    for block in (STRATEGIES, BASELINES, VARIANTS):
        own = [entry for entry in have if blocks[entry.place] == block]
        found += own if block == VARIANTS else sorted(own, key=rank)
    return found


def row(
    entry: GroupEntry, block: str, cells: Sequence[Cell], data: Mapping[str, Any], notes: tuple[int, ...]
) -> TableRow:
    """A row of ours."""
    described = {**named(entry), "origin": entry.origin, "grouping": entry.grouping}
    described |= {"paid_for": " ".join(entry.paid_for)}
    lead = (Cell(entry.name), Cell(entry.readout, notes=notes), Cell(words.paid_for(entry.paid_for)))
    return TableRow(block, (*lead, *cells), described | dict(data))


def floor_row(name: str, cells: Sequence[Cell], data: Mapping[str, Any]) -> TableRow:
    """A row of what looks at no signal."""
    described = {"label": "", "title": name, "origin": "floor", "grouping": "", "paid_for": ""}
    return TableRow(FLOORS, (Cell(name), Cell(), Cell(), *cells), described | dict(data))


def nothing_row(entry: GroupEntry, attribute: str, notes: Footnotes, width: int) -> TableRow:
    """A row without a result, with the reason."""
    reasons = words.missing_notes(entry, entry.fraction) or (
        f"no unit of known {attribute} is there to judge",
    )
    first = Cell(reasons[0].partition(":")[0], notes=notes(*reasons))
    return row(entry, NOTHING, [first, *[Cell()] * (width - 1)], {"no_result": " | ".join(reasons)}, ())


def lost_seeds(seeds: Seeds | None, entry: GroupEntry) -> tuple[str, ...]:
    """What a reader must know of a mean over seeds."""
    if seeds is None:
        return ()
    same = "All seeds gave the same groups: nothing random is left here, and no spread over seeds exists"
    return words.lost_seeds(seeds, entry.wanted) + ((same,) if seeds.identical else ())


def mean(seeds: Seeds | None) -> float | None:
    """The mean over seeds, if there is one."""
    return seeds.mean if seeds else None


def count(value: float) -> str:
    """A mean of counts: without decimals where it is whole."""
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"
