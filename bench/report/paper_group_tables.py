"""A paper's tables of clustering and retrieval with our numbers beside the published ones, and floors below.

Floors look at no signal; they are computed here, for both parts, and stand in every table, printed or not.
"""

from collections.abc import Iterator
from typing import Any

from bench.report import group_words, words
from bench.report.beside import Beside, Place
from bench.report.group_cells import DISTINCT, PARTS, PATIENTS, QUERIES, SET, attribute_of, head_of, metric_of
from bench.report.group_summary import HEADLINE, GroupSummary
from bench.report.layout import KS, MATCHES, GroupLayout, GroupRow
from bench.report.paper_tables import OURS, PUBLISHED, corpus_of, general, use_of
from bench.report.published import layouts, published
from bench.report.table import DASH, Cell, Column, Footnotes, Table, TableRow
from bench.report.tables import make_table
from bench.run.plan import Plan
from bench.run.suite import Suite

VARIANTS, FLOORS = "variants", "floors: computed here, without any look at a signal; the paper has none"

_RETRIEVAL_FLOORS = {"constant": "constant query", "random": "random retrieval"}

_INTERVAL = " (95\u00a0% interval)"

_BLOCKS = {1: "at least 1 of 3 attributes equal", 2: "at least 2 of 3 equal", 3: "all 3 equal"}
_DISTINCT = "distinct units that rank first, of so many queries (under K = 1)"


def paper_group_tables(plan: Plan, summary: GroupSummary, suite: Suite) -> list[Table]:
    """Every laid-out table of groups, on one corpus, of the paper whose suite this is; none for other suites."""
    laid_out = {n: x for n, x in layouts(suite.name).items() if isinstance(x, GroupLayout)}
    if not laid_out:
        return []
    corpus = corpus_of(plan, suite, summary.setting)
    here, base = suite.on(use_of(plan, suite, summary.setting)), corpus.name.removesuffix("-sim")
    numbers = [n for n in published(suite.name) if n.corpus == base]
    tables = []
    for name, layout in laid_out.items():
        if base not in layout.corpora:
            continue
        known = {(n.row, n.cell): n for n in numbers if n.table == name}
        tables.append(_table(name, Place(layout, plan, summary, here, corpus, known, Footnotes())))
    return tables


def _table(name: str, place: Place) -> Table:
    layout, notes = place.layout, place.notes
    notes(*(layout.footnotes[key] for key in layout.table_footnotes))
    asked, left_out = _asked(place)
    besides = _once([Beside(place, row) for row in asked])
    controls = [Beside(place, row) for row in layout.controls]
    make = _retrieval_rows if layout.kind == "retrieval" else _clustering_rows
    rows = tuple(make(place, besides, controls))
    columns = tuple(_columns(place, [*besides, *controls]))
    what = f"{layout.title}; {'published and ours' if place.numbers else 'ours'}."
    more = _explained(place, [*besides, *controls])
    values = {beside.axis() for beside in besides}
    if gone := [row.row for row in left_out if row.row.split()[-1] not in values]:
        more += f" Not run at scale {place.suite.scale}: {', '.join(gone)}."
    return make_table(name, what, place.summary, place.suite, columns, rows, notes, more)


def _asked(place: Place) -> tuple[list[GroupRow], list[GroupRow]]:
    """The rows of the layout, and those of an ablation whose value the suite leaves out at this scale."""
    labels = {entry.label for entry in place.suite.entries}
    gone = [row for row in place.layout.rows if place.layout.axis and row.label not in labels]
    return [row for row in place.layout.rows if row not in gone], gone


def _once(besides: list[Beside]) -> list[Beside]:
    """The first of rows that are the same cells, as where an ablation's value is the suite's own."""
    if besides[0].place.layout.axis is None:
        return besides
    keys = [tuple(entry.keys for entry in beside.entries) for beside in besides]
    return [b for i, b in enumerate(besides) if not any(keys[i]) or keys[i] not in keys[:i]]


def _columns(place: Place, besides: list[Beside]) -> Iterator[Column]:
    layout, spread = place.layout, _spread(besides)
    yield Column("row of the paper" if place.numbers else "row", left=True)
    if layout.axis:
        yield Column(layout.axis.what)
    yield Column("ours", left=True)
    for cell in _first_cells(layout):
        head, compared = head_of(cell), place.has_published(cell)
        if compared:
            yield Column(f"{head}, published ({layout.spread})")
        yield Column(f"{head}, ours, validation{spread}")
        if compared and layout.kind == "clustering":
            yield Column("ours (validation) − published")
        bracketed = metric_of(cell, read_off=False) == HEADLINE
        yield Column(f"{head}, ours, test{_INTERVAL if bracketed else ''}")
    yield Column("seeds")
    if place.numbers:
        yield Column("verdict", left=True)


def _spread(besides: list[Beside]) -> str:
    """What brackets behind our validation numbers hold, for a head; empty where there are none."""
    found = [seeds for beside in besides for seeds in beside.found()]
    return f" ({words.spread_head_of(found)})" if any(seeds.n > 1 for seeds in found) else ""


def _first_cells(layout: GroupLayout) -> tuple[str, ...]:
    """What stands side by side: all cells of a clustering table, one block of a retrieval table."""
    return layout.columns()[: len(KS)] if layout.kind == "retrieval" else layout.columns()


def _clustering_rows(place: Place, besides: list[Beside], controls: list[Beside]) -> Iterator[TableRow]:
    blocks = {PUBLISHED if place.numbers else VARIANTS: besides, OURS: controls}
    cells = place.layout.columns()
    for block, rows in blocks.items():
        for beside in rows:
            data = {key: value for cell in cells for key, value in beside.data(cell).items()}
            for attribute in dict.fromkeys(map(attribute_of, cells)):
                data |= beside.mappings(attribute)
            yield _row(beside, block, cells, data)
    for floor, text in _floor_names(place).items():
        shown, data = _floor_cells(place, floor, cells)
        yield _bare_row(place, FLOORS, text, DASH, shown, {"floor": floor, **data})


def _row(beside: Beside, block: str, cells: tuple[str, ...], data: dict[str, Any]) -> TableRow:
    """A row of the layout: its name, ours, its numbers, and the verdict."""
    place, because = beside.place, beside.because()
    name = Cell(beside.row.row, notes=beside.marks())
    axis = [Cell(beside.axis())] if place.layout.axis else []
    shown = [cell for name_ in cells for cell in beside.shown(name_)]
    said = place.notes(*because)
    ours = Cell(beside.name, notes=place.notes(*beside.paid_for(), *(() if place.numbers else because)))
    end = [Cell(beside.count), *([Cell(beside.word, notes=said)] if place.numbers else [])]
    known = {"row": beside.row.row, **beside.identity(), **data}
    known |= {"verdict": beside.word, "because": " | ".join(because)}
    if place.layout.axis:
        known["value"] = beside.axis()
    return TableRow(block, (name, *axis, ours, *shown, *end), known)


def _bare_row(
    place: Place, block: str, name: str, ours: str, shown: list[Cell], data: dict[str, Any]
) -> TableRow:
    """A row that the paper has nothing to set beside."""
    axis = [Cell()] if place.layout.axis else []
    end = [Cell()] * (2 if place.numbers else 1)
    return TableRow(block, (Cell(name), *axis, Cell(ours), *shown, *end), {"row": name, **data})


def _ours_only(place: Place, cell: str, texts: tuple[str, str]) -> list[Cell]:
    """Validation and test of one cell, under its columns."""
    val, test = map(Cell, texts)
    if not place.has_published(cell):
        return [val, test]
    return [Cell(), val, Cell(), test] if place.layout.kind == "clustering" else [Cell(), val, test]


def _floor_names(place: Place) -> dict[str, str]:
    """The floors of clustering, named after this table's attributes."""
    shown = ", ".join(_attributes(place))
    return {"constant": f"constant {shown}", "majority": f"majority {shown}", "random": "random ids"}


def _attributes(place: Place) -> list[str]:
    return list(dict.fromkeys(attribute_of(cell) for cell in place.layout.columns()))


def _floors_explained(place: Place) -> str:
    """What the floors are."""
    if place.layout.kind == "retrieval":
        return (
            "Constant query: one unit for all queries (exact at K = 1); random retrieval: what is expected."
        )
    classes = place.corpus.tasks[place.summary.setting.task].classes
    first = {"class": str(classes[0]), "sex": "male", "age": "the youngest quarter"}
    always = ", ".join(first[attribute] for attribute in _attributes(place))
    return (
        f"Constant: always {always}; majority: always what is most frequent in training; random ids: mean over draws,"
        " AMI as expected."
    )


def _floor_cells(place: Place, floor: str, cells: tuple[str, ...]) -> tuple[list[Cell], dict[str, Any]]:
    """What is shown of a floor, and its numbers for the CSV."""
    shown: list[Cell] = []
    data: dict[str, Any] = {}
    for cell in cells:
        values = [_floor(place, floor, cell, part) for part in PARTS]
        data |= {f"{_data_name(cell)}_{part}": v for part, v in zip(PARTS, values, strict=True)}
        val, test = (DASH if value is None else words.points(value) for value in values)
        shown += _ours_only(place, cell, (val, test))
    return shown, data


def _floor(place: Place, floor: str, cell: str, part: str) -> float | None:
    attribute = attribute_of(cell)
    rows = place.summary.retrieval_floors(part) if attribute == SET else place.summary.floors(part, attribute)
    return rows.get(floor, {}).get(metric_of(cell, read_off=False))


def _data_name(cell: str) -> str:
    """In the CSV of a retrieval table the matches are a column of their own."""
    return cell.split("/")[0]


def _retrieval_rows(place: Place, besides: list[Beside], controls: list[Beside]) -> Iterator[TableRow]:
    for m in MATCHES:
        cells, block = tuple(f"precision_at_{k}/{m}" for k in KS), _BLOCKS[m]
        for beside in (*besides, *controls):
            data = {k: v for cell in cells for k, v in beside.data(cell, _data_name(cell)).items()}
            yield _row(beside, block, cells, {"matches": m, "patients": "all units", **data})
            yield _each_once(beside, block, cells, m)
        for floor, text in _RETRIEVAL_FLOORS.items():
            shown, data = _floor_cells(place, floor, cells)
            yield _bare_row(place, block, text, DASH, shown, {"floor": floor, "matches": m, **data})
    yield from _distinct_rows(place, [*besides, *controls])


def _each_once(beside: Beside, block: str, cells: tuple[str, ...], m: int) -> TableRow:
    """The same row where each patient is ranked once."""
    shown: list[Cell] = []
    data: dict[str, Any] = {"matches": m, "patients": "each once", **beside.identity()}
    for cell in cells:
        shown += _ours_only(beside.place, cell, beside.texts(cell + PATIENTS))
        data |= beside.data(cell + PATIENTS, _data_name(cell))
    return _bare_row(beside.place, block, f"{beside.row.row}, each patient once", beside.name, shown, data)


def _distinct_rows(place: Place, besides: list[Beside]) -> Iterator[TableRow]:
    """How many units rank first for any query: 1 where all queries have collapsed."""
    first, *others = _first_cells(place.layout)
    blank = [cell for name in others for cell in _ours_only(place, name, (DASH, DASH))]
    for beside in besides:
        counts = [(beside.seeds(DISTINCT, part), beside.seeds(QUERIES, part)) for part in PARTS]
        val, test = (f"{d.mean:.1f} of {q.mean:g}" if d and q else DASH for d, q in counts)
        shown = _ours_only(place, first, (val, test)) + blank
        data = {**beside.identity(), **beside.data(DISTINCT)}
        yield _bare_row(place, _DISTINCT, beside.row.row, beside.name, shown, data)
    for floor, text in _RETRIEVAL_FLOORS.items():
        values = [place.summary.retrieval_floors(part).get(floor, {}).get(DISTINCT) for part in PARTS]
        val, test = (DASH if value is None else f"{value:.1f}" for value in values)
        data = {"floor": floor, **{f"{DISTINCT}_{p}": v for p, v in zip(PARTS, values, strict=True)}}
        yield _bare_row(place, _DISTINCT, text, DASH, _ours_only(place, first, (val, test)) + blank, data)


def _explained(place: Place, besides: list[Beside]) -> str:
    layout, summary, suite = place.layout, place.summary, place.suite
    labels = {entry.label for beside in besides for entry in beside.entries}
    if layout.kind == "retrieval":
        said = [group_words.ranked(summary, suite, ("test", "val")), _RETRIEVAL]
        said.append(words.chosen_on_validation(suite, labels))
    else:
        said = [group_words.judged(summary, suite, _attributes(place)), _CLUSTERING]
        said.append(group_words.reliance(suite, labels))
    said += [_floors_explained(place), group_words.READOUTS, group_words.PAID_FOR]
    said.append(general(layout.table_footnotes) if place.numbers else layout.unpublished)
    return " ".join(filter(None, said))


_CLUSTERING = (
    "Acc: share of units whose value is right, by what their id stands for where it stands for something by"
    " construction, else by the one-to-one mapping of ids to values that fits the training part best; identity:"
    " bare ids taken for values as they are. AMI: of the values read off in the first case, of the ids in the second."
)
_RETRIEVAL = (
    "Each attribute set (class, sex, age quartile) is a query; a hit is at least one unit, of the K nearest, with"
    " so many attributes of the query."
)
