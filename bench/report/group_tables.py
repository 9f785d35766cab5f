"""Our own tables of groupings: clustering by class, sex and age, and retrieval; floors stand in every one of them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bench.report import group_words, words
from bench.report.group_summary import NAMES, SHORT, GroupEntry, GroupSummary
from bench.report.group_views import ATTRIBUTES, PATIENTS, SET
from bench.report.stats import Seeds
from bench.report.table import DASH, Cell, Column, Footnotes, Table, TableRow
from bench.report.tables import NOTHING, make_table, named
from bench.run.suite import Suite

STRATEGIES, BASELINES, FLOORS = "strategies", "baselines", "floors"

RATES = {
    f"precision_at_{k}/{m}": f"P@{k}, {equal}"
    for m, equal in {1: "≥1", 2: "≥2", 3: "=3"}.items()
    for k in (1, 5, 10)
}
"""Column heads of the hit rates."""

_ORIGINS = {"strategy": STRATEGIES, "baseline": BASELINES}
_HEADS = {
    "acc_hungarian": "Hungarian",
    "acc_oracle": "oracle Hungarian",
    "acc_majority": "majority vote",
    "acc_identity": "identity",
    "ami": "AMI (ids)",
    "ami_mapped": "AMI (read-off values)",
    "used": "ids used",
    "largest_share": "largest share",
}
_COMPARED = ("acc", "ami", "ami_mapped")  # the others are optimistic, or there to explain other papers
_ONLY_DATA = ("ami_start", "ami_sex", "usage_entropy")
_FLOORS = {"constant": "constant {}", "majority": "majority {}", "random": "random ids"}
_FIRST = (Column("strategy", left=True), Column("groups", left=True))
_RETRIEVAL_FLOORS = {"constant": "constant query", "random": "random retrieval"}

Emphasis = Literal["", "best", "second"]
Marks = Mapping[tuple[str, str], Emphasis]
"""Emphasis by label and grouping."""


def group_tables(summary: GroupSummary, suite: Suite) -> list[Table]:
    """Every table of one setting; none of an attribute that nothing judges, none of retrieval without queries.

    Args:
        suite: as it runs on the setting's corpus.
    """
    made = [clustering(summary, suite, attribute) for attribute in ATTRIBUTES]
    made += [retrieval(summary, suite, *which) for which in (("test", ""), ("val", ""), ("test", PATIENTS))]
    return [table for table in made if table is not None]


def clustering(summary: GroupSummary, suite: Suite, attribute: str) -> Table | None:
    """How well the groups of every row agree with one attribute; None where no row is judged by it."""
    asked = [entry for entry in summary.entries if attribute in entry.attributes]
    if not asked:
        return None
    test, notes = _Column(summary, "test", attribute), Footnotes()
    val = _Column(summary, "val", attribute)
    done = test.ordered(asked, "acc")
    heads = _HEADS | ({"ami_lead": "AMI with lead"} if any(test.of(e, "ami_lead") for e in done) else {})
    marks = {name: test.emphasis(done, name) for name in _COMPARED}
    first = val.emphasis(done, "acc")
    rows = []
    for entry in done:
        seeds = test.of(entry, "acc")
        low_high = summary.interval(entry.label, entry.grouping, "test", attribute, "acc")
        cells = [val.cell(entry, "acc", first), test.cell(entry, "acc", marks["acc"])]
        cells += [Cell(words.spread(seeds) if seeds else DASH), Cell(words.span(*low_high))]
        cells += [test.cell(entry, name, marks.get(name, {})) for name in heads]
        data = _clustering_data(test, val, entry, low_high, (*heads, *_ONLY_DATA))
        rows.append(_row(entry, cells, data, notes(*_lost_seeds(seeds, entry))))
    rows += _clustering_floors(summary, attribute, tuple(heads))
    rows += [_nothing(entry, attribute, notes, 4 + len(heads)) for entry in asked if entry not in done]
    spreads = [seeds for entry in done if (seeds := test.of(entry, "acc"))]
    lead = (
        "Acc, validation",
        "Acc, test",
        words.spread_head_of(spreads) if spreads else "spread",
        words.INTERVAL,
    )
    what = f"Groups against {attribute}: accuracy and adjusted mutual information ×100, mean over seeds."
    more = [
        group_words.judged(summary, suite, attribute),
        group_words.MAPPINGS,
        group_words.floors(attribute),
    ]
    columns = (*_FIRST, *map(Column, [*lead, *heads.values()]))
    name = f"clustering_{attribute}"
    return make_table(name, what, summary, suite, columns, tuple(rows), notes, " ".join(more))


def retrieval(summary: GroupSummary, suite: Suite, part: str, ending: str = "") -> Table | None:
    """How often the nearest units share attributes with the attribute set that asks; None where no row asks.

    Args:
        ending: '' or `PATIENTS`.
    """
    rates = {f"{name}{ending}": head for name, head in RATES.items()}
    column, notes = _Column(summary, part, SET), Footnotes()
    done = column.ordered(summary.entries, f"precision_at_5/2{ending}")
    lost = [entry for entry in summary.entries if not entry.keys and entry.grouping != "kmeans"]
    if not done and not lost:
        return None
    marks = {name: column.emphasis(done, name) for name in rates}
    rows = []
    for entry in done:
        cells = [column.cell(entry, name, marks[name]) for name in rates]
        cells.append(column.cell(entry, "distinct_top", {}))
        data = {name: _mean(column.of(entry, name)) for name in (*rates, "distinct_top", "queries")}
        told = (*_lost_seeds(column.of(entry, next(iter(rates))), entry), *_unasked(column, entry))
        rows.append(_row(entry, cells, data, notes(*told)))
    for name, floor in _RETRIEVAL_FLOORS.items():
        if values := summary.retrieval_floors(part).get(name):
            cells = [Cell(words.points(values.get(rate, float("nan")))) for rate in rates]
            data = {key: values.get(key) for key in (*rates, "distinct_top")}
            rows.append(_floor(floor, [*cells, Cell(_count(values["distinct_top"]))], data))
    rows += [_nothing(entry, SET, notes, len(rates) + 1) for entry in lost]
    what = (
        f"Retrieval by attribute set, {group_words.part_name(part)} part{', one a patient' if ending else ''}:"
        " P@K ×100, mean over seeds."
    )
    more = f"{group_words.ranked(summary, suite, part, bool(ending))} {group_words.HIT_RATE}"
    columns = (*_FIRST, *map(Column, [*rates.values(), "distinct top-1"]))
    name = "retrieval_patients" if ending else "retrieval" if part == "test" else f"retrieval_{part}"
    return make_table(name, what, summary, suite, columns, tuple(rows), notes, more)


class _Column:
    """The numbers of one part and attribute."""

    def __init__(self, summary: GroupSummary, part: str, attribute: str) -> None:
        self.summary, self.part, self.attribute = summary, part, attribute

    def of(self, entry: GroupEntry, metric: str) -> Seeds | None:
        """A metric of an entry."""
        return self.summary.value(entry.label, entry.grouping, self.part, self.attribute, metric)

    def clusters(self, entry: GroupEntry) -> int:
        """Ids that an entry may use, or its queries."""
        return self.summary.clusters(entry.label, entry.grouping, self.attribute)

    def ordered(self, entries: Sequence[GroupEntry], metric: str) -> list[GroupEntry]:
        """Entries with a result: strategies, then baselines, the best first."""
        have = [(value.mean, entry) for entry in entries if (value := self.of(entry, metric))]
        best = [entry for _, entry in sorted(have, key=lambda pair: -pair[0])]
        return [entry for origin in _ORIGINS for entry in best if entry.origin == origin]

    def emphasis(self, entries: Sequence[GroupEntry], metric: str) -> Marks:
        """Best and second row as printed; nothing where all rows print the same."""
        values = {entry.place: value.mean for entry in entries if (value := self.of(entry, metric))}
        printed = {place: words.points(value) for place, value in values.items()}
        levels = list(dict.fromkeys(printed[place] for place in sorted(values, key=lambda p: -values[p])))
        marks: dict[str, Emphasis] = {levels[0]: "best", levels[1]: "second"} if len(levels) > 1 else {}
        return {place: marks.get(text, "") for place, text in printed.items()}

    def cell(self, entry: GroupEntry, metric: str, marks: Marks) -> Cell:
        """A number as it is printed."""
        value = self.of(entry, metric)
        if value is None:
            return Cell()
        if metric in ("used", "distinct_top"):
            return Cell(f"{_count(value.mean)} of {self.clusters(entry)}")
        return Cell(words.points(value.mean), marks.get(entry.place, ""))


def _row(
    entry: GroupEntry, cells: Sequence[Cell], data: Mapping[str, Any], notes: tuple[int, ...]
) -> TableRow:
    groups = Cell(f"{NAMES[entry.grouping]} ({SHORT[entry.grouping]})", notes=notes)
    described = {**named(entry), "origin": entry.origin, "grouping": entry.grouping}
    return TableRow(_ORIGINS[entry.origin], (Cell(entry.name), groups, *cells), described | dict(data))


def _floor(name: str, cells: Sequence[Cell], data: Mapping[str, Any]) -> TableRow:
    described = {"label": "", "title": name, "origin": "floor", "grouping": ""}
    return TableRow(FLOORS, (Cell(name), Cell(), *cells), described | dict(data))


def _nothing(entry: GroupEntry, attribute: str, notes: Footnotes, width: int) -> TableRow:
    """A row without a result, with the reason."""
    reasons = words.missing_notes(entry, entry.fraction) or (
        f"no unit of known {attribute} is there to judge",
    )
    row = _row(
        entry, [Cell(reasons[0].partition(":")[0], notes=notes(*reasons)), *[Cell()] * (width - 1)], {}, ()
    )
    return TableRow(NOTHING, row.cells, {**row.data, "no_result": " | ".join(reasons)})


def _clustering_floors(summary: GroupSummary, attribute: str, metrics: Sequence[str]) -> list[TableRow]:
    val, test = summary.floors("val", attribute), summary.floors("test", attribute)
    rows = []
    for name in (name for name in _FLOORS if name in test):
        cells = [Cell(words.points(of.get(name, {}).get("acc", float("nan")))) for of in (val, test)]
        cells += [Cell(), Cell()]
        for metric in metrics:
            value = test[name].get(metric, float("nan"))
            cells.append(Cell(_count(value)) if metric == "used" else Cell(words.points(value)))
        data = {"acc_val": val.get(name, {}).get("acc"), **{m: test[name].get(m) for m in ("acc", *metrics)}}
        rows.append(_floor(_FLOORS[name].format(attribute), cells, data))
    return rows


def _clustering_data(
    test: _Column, val: _Column, entry: GroupEntry, low_high: tuple[float, float], metrics: Sequence[str]
) -> dict[str, Any]:
    """Everything of a row for the CSV, as fractions; of the test part but for `acc_val`."""
    seeds = test.of(entry, "acc")
    data: dict[str, Any] = {"clusters": test.clusters(entry), "acc_val": _mean(val.of(entry, "acc"))}
    if seeds:
        data |= {"acc": seeds.mean, "seeds": seeds.n, "seed_sd": seeds.sd}
        data |= {"seed_low": seeds.low, "seed_high": seeds.high}
    data |= dict(zip(("low", "high"), low_high, strict=True))
    return data | {name: _mean(test.of(entry, name)) for name in metrics}


def _lost_seeds(seeds: Seeds | None, entry: GroupEntry) -> tuple[str, ...]:
    """What a reader must know of a mean over seeds."""
    if seeds is None:
        return ()
    same = "All seeds gave the same groups: nothing random is left here, and no spread over seeds exists"
    return words.lost_seeds(seeds, entry.wanted) + ((same,) if seeds.identical else ())


def _unasked(column: _Column, entry: GroupEntry) -> tuple[str, ...]:
    """A note where some attribute sets could not ask."""
    asked, of = column.of(entry, "queries"), column.clusters(entry)
    if asked is None or asked.mean >= of:
        return ()
    return (
        f"{_count(asked.mean)} of {of} attribute sets could ask: the label subset holds nobody of the others",
    )


def _mean(seeds: Seeds | None) -> float | None:
    return seeds.mean if seeds else None


def _count(value: float) -> str:
    """A mean of counts: without decimals where it is whole."""
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"
