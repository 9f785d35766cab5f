"""Our own tables of groupings: clustering by class, sex and age, and retrieval; floors stand in every one of them."""

from collections.abc import Sequence
from typing import Any

from bench.report import group_words, words
from bench.report.group_rows import (
    VARIANTS,
    Numbers,
    blocks_of,
    count,
    floor_row,
    lost_seeds,
    mean,
    nothing_row,
    ordered,
    row,
)
from bench.report.group_summary import GroupEntry, GroupSummary
from bench.report.group_views import ATTRIBUTES, PATIENTS, SET
from bench.report.table import DASH, Cell, Column, Footnotes, Table, TableRow
from bench.report.tables import make_table
from bench.run.suite import Suite

RATES = {
    f"precision_at_{k}/{m}": f"P@{k}, {equal}"
    for m, equal in {1: "≥1", 2: "≥2", 3: "=3"}.items()
    for k in (1, 5, 10)
}
"""Column heads of the hit rates."""

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
_FIRST = (Column("strategy", left=True), Column("groups", left=True), Column("paid for", left=True))
_RETRIEVAL_FLOORS = {"constant": "constant query", "random": "random retrieval"}


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
    test, val, notes = Numbers(summary, "test", attribute), Numbers(summary, "val", attribute), Footnotes()
    done, blocks = ordered(asked, test, val, "acc"), blocks_of(asked)
    heads = _HEADS | ({"ami_lead": "AMI with lead"} if any(test.of(e, "ami_lead") for e in done) else {})
    compared = [entry for entry in done if blocks[entry.place] != VARIANTS]
    marks = {name: test.emphasis(compared, name) for name in _COMPARED}
    first = val.emphasis(compared, "acc")
    rows = []
    for entry in done:
        seeds = test.of(entry, "acc")
        low_high = summary.interval(entry.label, entry.grouping, "test", attribute, "acc")
        cells = [val.cell(entry, "acc", first), test.cell(entry, "acc", marks["acc"])]
        cells += [Cell(words.spread(seeds) if seeds else DASH), Cell(words.span(*low_high))]
        cells += [test.cell(entry, name, marks.get(name, {})) for name in heads]
        data = _clustering_data(test, val, entry, low_high, (*heads, *_ONLY_DATA))
        rows.append(row(entry, blocks[entry.place], cells, data, notes(*lost_seeds(seeds, entry))))
    rows += _clustering_floors(summary, attribute, tuple(heads))
    rows += [nothing_row(entry, attribute, notes, 4 + len(heads)) for entry in asked if entry not in done]
    spreads = [seeds for entry in done if (seeds := test.of(entry, "acc"))]
    spread = words.spread_head_of(spreads) if spreads else "spread"
    columns = (
        *_FIRST,
        *map(Column, ["Acc, validation", "Acc, test", spread, words.INTERVAL, *heads.values()]),
    )
    more = [group_words.judged(summary, suite, [attribute]), group_words.MAPPINGS, group_words.PAID_FOR]
    more += [group_words.reliance(suite, {e.label for e in asked}), group_words.floors(attribute)]
    what = f"Groups against {attribute}: accuracy and adjusted mutual information ×100, mean over seeds."
    name = f"clustering_{attribute}"
    return make_table(name, what, summary, suite, columns, tuple(rows), notes, " ".join(more))


def retrieval(summary: GroupSummary, suite: Suite, part: str, ending: str = "") -> Table | None:
    """How often the nearest units share attributes with the attribute set that asks; None where no row asks.

    Args:
        ending: '' or `PATIENTS`.
    """
    rates = {f"{name}{ending}": head for name, head in RATES.items()}
    shown, val, notes = Numbers(summary, part, SET), Numbers(summary, "val", SET), Footnotes()
    asking = [entry for entry in summary.entries if entry.reads_off]
    done, blocks = ordered(asking, shown, val, f"precision_at_5/2{ending}"), blocks_of(asking)
    lost = [entry for entry in asking if not entry.keys]
    if not done and not lost:
        return None
    rows = []
    for entry in done:
        cells = [shown.cell(entry, name, {}) for name in (*rates, "distinct_top")]
        told = (*lost_seeds(shown.of(entry, next(iter(rates))), entry), *_unasked(shown, entry))
        rows.append(
            row(entry, blocks[entry.place], cells, _retrieval_data(shown, entry, rates), notes(*told))
        )
    for name, floor in _RETRIEVAL_FLOORS.items():
        if values := summary.retrieval_floors(part).get(name):
            cells = [Cell(words.points(values.get(rate, float("nan")))) for rate in rates]
            data = {key: values.get(key) for key in (*rates, "distinct_top")}
            rows.append(floor_row(floor, [*cells, Cell(count(values["distinct_top"]))], data))
    rows += [nothing_row(entry, SET, notes, len(rates) + 1) for entry in lost]
    only = ", one unit a patient" if ending else ""
    what = f"Retrieval, {group_words.part_name(part)} part{only}: attribute sets as queries, P@K ×100, mean over seeds."
    more = [
        group_words.ranked(summary, suite, [part], bool(ending)),
        group_words.HIT_RATE,
        group_words.PAID_FOR,
    ]
    more += [words.chosen_on_validation(suite, {e.label for e in asking})] if part == "val" else []
    columns = (*_FIRST, *map(Column, [*rates.values(), "distinct top-1"]))
    name = "retrieval_patients" if ending else "retrieval" if part == "test" else f"retrieval_{part}"
    return make_table(name, what, summary, suite, columns, tuple(rows), notes, " ".join(filter(None, more)))


def _clustering_floors(summary: GroupSummary, attribute: str, metrics: Sequence[str]) -> list[TableRow]:
    val, test = summary.floors("val", attribute), summary.floors("test", attribute)
    rows = []
    for name in (name for name in _FLOORS if name in test):
        cells = [Cell(words.points(of.get(name, {}).get("acc", float("nan")))) for of in (val, test)]
        cells += [Cell(), Cell()]
        for metric in metrics:
            value = test[name].get(metric, float("nan"))
            cells.append(Cell(count(value)) if metric == "used" else Cell(words.points(value)))
        data = {"acc_val": val.get(name, {}).get("acc"), **{m: test[name].get(m) for m in ("acc", *metrics)}}
        rows.append(floor_row(_FLOORS[name].format(attribute), cells, data))
    return rows


def _clustering_data(
    test: Numbers, val: Numbers, entry: GroupEntry, low_high: tuple[float, float], metrics: Sequence[str]
) -> dict[str, Any]:
    """Everything of a row for the CSV, as fractions; of the test part but for `acc_val`."""
    seeds = test.of(entry, "acc")
    data: dict[str, Any] = {"clusters": test.clusters(entry), "acc_val": mean(val.of(entry, "acc"))}
    if seeds:
        data |= {"acc": seeds.mean, "seeds": seeds.n, "seed_sd": seeds.sd}
        data |= {"seed_low": seeds.low, "seed_high": seeds.high}
    data |= dict(zip(("low", "high"), low_high, strict=True))
    return data | {name: mean(test.of(entry, name)) for name in metrics}


def _retrieval_data(
    shown: Numbers, entry: GroupEntry, rates: Sequence[str] | dict[str, str]
) -> dict[str, Any]:
    """Everything of a row for the CSV, hit rates with their range over seeds."""
    data = {name: mean(shown.of(entry, name)) for name in (*rates, "distinct_top", "queries")}
    for name in rates:
        seeds = shown.of(entry, name)
        data |= {f"{name}_seed_low": seeds.low, f"{name}_seed_high": seeds.high} if seeds else {}
    return data


def _unasked(shown: Numbers, entry: GroupEntry) -> tuple[str, ...]:
    """A note where some attribute sets could not ask."""
    asked, of = shown.of(entry, "queries"), shown.clusters(entry)
    if asked is None or asked.mean >= of:
        return ()
    return (
        f"{count(asked.mean)} of {of} attribute sets could ask: the label subset holds nobody of the others",
    )
