"""A paper's grids with our numbers beside the published ones: a table a grid, on each setting that it says anything of.

Published numbers with nothing of ours in any table of the run are counted in one listing, with the reason.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from bench.report import words
from bench.report.grid import Beside, Grid
from bench.report.grid_listing import is_first, unmatched
from bench.report.layout import GridColumn, GridLayout
from bench.report.paper_common import OURS, PUBLISHED, corpus_of, general, score_cells, use_of
from bench.report.published import grid_numbers, layouts, published
from bench.report.summary import Summary
from bench.report.table import DASH, Cell, Column, Footnotes, Table, TableRow
from bench.report.tables import make_table, named, score_data
from bench.run.plan import Plan
from bench.run.suite import Suite

_NONE = float("nan")

ELSEWHERE = "of the same table: nothing of ours can stand beside these"


def grid_tables(plan: Plan, summary: Summary, suite: Suite) -> list[Table]:
    """Every grid of the paper whose suite this is that is about this setting; none for other suites.

    With the first setting comes the listing of published numbers that stand in none of the run's tables.
    """
    laid_out = {n: x for n, x in layouts(suite.name).items() if isinstance(x, GridLayout)}
    if not laid_out:
        return []
    numbers, corpus = published(suite.name), corpus_of(plan, suite, summary.setting)
    here = suite.on(use_of(plan, suite, summary.setting))
    tables = []
    for name, layout in laid_out.items():
        known = grid_numbers(numbers, name, layout)
        grid = Grid(name, layout, plan, summary, here, corpus, known, Footnotes())
        rows = list(grid.beside())
        if any(beside.entry for row in rows for beside in row):
            tables.append(_table(grid, rows))
    return [*tables, *(unmatched(plan, here, laid_out) if is_first(plan, summary) else [])]


def _table(grid: Grid, besides: list[list[Beside]]) -> Table:
    layout, notes = grid.layout, grid.notes
    notes(*(layout.footnotes[key] for key in layout.table_footnotes))
    rows = [_row(PUBLISHED, row) for row in besides]
    rows += [_column_row(grid, column) for column in layout.columns if column.reason]
    controls = list(grid.controls())
    rows += [_row(OURS, row) for row in controls if any(beside.entry for beside in row)]
    what = f"{layout.title}: {words.macro(grid.summary)}; published and ours, both ×100, ours as a mean over seeds."
    columns = tuple(_columns(grid, [beside for row in [*besides, *controls] for beside in row]))
    more = general(layout.table_footnotes)
    labelled = tuple(map(_labelled, rows))
    table = make_table(grid.name, what, grid.summary, grid.suite, columns, labelled, notes, more)
    return replace(table, rows=tuple(rows))


def _labelled(row: TableRow) -> TableRow:
    """With the labels of all sides in the one field that the caption is made from."""
    labels = (str(value) for name, value in row.data.items() if name.endswith("label"))
    return replace(row, data={**row.data, "label": " ".join(labels)})


def _columns(grid: Grid, besides: list[Beside]) -> Iterator[Column]:
    layout = grid.layout
    yield Column("row of the paper", left=True)
    yield Column("published on", left=True)
    if _by_fraction(layout):
        yield Column("labels")
    yield Column("our entry", left=True)
    spread = words.spread_head(beside.score for beside in besides if beside.score)
    for side in layout.sides:
        of = f"{side.name}: " if side.name else ""
        published = f"published ({layout.provenance})" if layout.provenance else "published"
        heads = (published, layout.spread, "ours", spread, words.INTERVAL, "seeds", "ours − published")
        yield from (Column(f"{of}{head}") for head in heads)
        yield Column(f"{of}verdict", left=True)


def _by_fraction(layout: GridLayout) -> bool:
    return layout.fractions != (1.0,)


def _row(block: str, row: list[Beside]) -> TableRow:
    """A row of the layout: its name and, for every side, published and ours."""
    first = row[0]
    bare, control = first.grid.is_bare(first.row), block == OURS
    data: dict[str, Any] = {"row": first.row.row}
    data["published_on"] = "" if bare or control else first.column.published
    data["fraction"] = None if bare else first.fraction
    for beside in row:
        data |= _data(beside)
    name = Cell(first.row.row, notes=first.marks())
    where = Cell(first.column.title if data["published_on"] else DASH)
    numbers = [cell for beside in row for cell in _numbers(beside)]
    return TableRow(block, (name, where, *_who(row, bare), *numbers), data)


def _who(row: list[Beside], bare: bool) -> Iterator[Cell]:
    """Label fraction, and ours by name."""
    first = row[0]
    if _by_fraction(first.grid.layout):
        yield Cell(DASH if bare else words.percent(first.fraction))
    yield Cell(_joined([beside.entry.name for beside in row if beside.entry]) or DASH)


def _joined(names: Sequence[str]) -> str:
    """Names of the entries of all sides, each once; of those that begin alike, only what they share.

    'CPC, linear evaluation, saw test ECGs' beside 'CPC, fine-tuned, saw test ECGs' is 'CPC, saw test ECGs': the heads
    of the sides say the rest.
    """
    parts = [name.split(", ") for name in dict.fromkeys(names)]
    if len({own[0] for own in parts}) > 1:
        return " / ".join(map(", ".join, parts))
    return ", ".join(part for part in parts[0] if all(part in own for own in parts)) if parts else ""


def _numbers(beside: Beside) -> list[Cell]:
    """Published, its ±, ours with spread, interval and seeds, the difference, the verdict."""
    number, notes = beside.number, beside.grid.notes
    mean, spread = (number.mean, number.spread) if number else (_NONE, _NONE)
    published = [Cell(words.points(mean)), Cell(DASH if spread != spread else f"± {words.points(spread)}")]
    gap = Cell(DASH if beside.gap is None else words.gap(beside.gap, scale=1))
    verdict = Cell(beside.word or DASH, notes=notes(*beside.because()))
    return [*published, *score_cells(beside.score, notes), gap, verdict]


def _data(beside: Beside) -> dict[str, Any]:
    """Everything about one number, for the CSV: ours by name, both as fractions, the difference in points."""
    number, entry = beside.number, beside.entry
    data: dict[str, Any] = {"label": "", "title": "", **(named(entry) if entry else {})}
    published = (number.mean, number.spread, number.note) if number else (None, None, "")
    data |= dict(zip(("published", "published_spread", "published_note"), published, strict=True))
    data |= {**score_data(beside.score), "difference": beside.gap, "verdict": beside.word}
    data["because"] = " | ".join(beside.because())
    return {f"{beside.side.name}_{name}" if beside.side.name else name: value for name, value in data.items()}


def _column_row(grid: Grid, column: GridColumn) -> TableRow:
    """One line for a column of the paper's table that nothing of ours can stand beside."""
    count = sum(place.column == column.published for place in grid.numbers)
    width = len(list(_columns(grid, []))) - 3
    cells = [Cell(words.counted(count, "number")), Cell(column.title), *[Cell()] * width]
    data = {"row": "", "published_on": column.published, "numbers": count, "verdict": "no result"}
    last = Cell("no result", notes=grid.notes(column.reason))
    return TableRow(ELSEWHERE, (*cells, last), data | {"because": column.reason})
