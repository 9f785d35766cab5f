"""A paper's grids with our numbers beside the published ones: a table a grid, on each setting that it says anything of.

Published numbers with nothing of ours in any table of the run are counted in one listing, with the reason.
"""

from collections.abc import Callable, Iterator
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
    rows += [_row(OURS, row) for row in controls if row[0].entry]
    what = f"{layout.title}: {words.macro(grid.summary)}; published and ours."
    columns = tuple(_columns(grid, [beside for row in [*besides, *controls] for beside in row]))
    more = general(layout.table_footnotes)
    return make_table(grid.name, what, grid.summary, grid.suite, columns, tuple(rows), notes, more)


def _columns(grid: Grid, besides: list[Beside]) -> Iterator[Column]:
    layout = grid.layout
    yield Column("row of the paper", left=True)
    yield Column("published on", left=True)
    if _by_fraction(layout):
        yield Column("labels")
    if _is_noted(grid):
        yield Column("of the published number", left=True)
    yield Column("ours", left=True)
    spread = words.spread_head(beside.score for beside in besides if beside.score)
    for side in layout.sides:
        of = f"{side.name}: " if side.name else ""
        yield Column(f"{of}published {words.SCORE}")
        yield Column(f"{of}{layout.spread}")
        yield Column(f"{of}ours, {words.score_head(grid.summary)}, mean over seeds")
        yield from (Column(f"{of}{head}") for head in (spread, words.INTERVAL, "seeds", "ours − published"))
        yield Column(f"{of}verdict", left=True)


def _by_fraction(layout: GridLayout) -> bool:
    return layout.fractions != (1.0,)


def _is_noted(grid: Grid) -> bool:
    """Does the transcript say anything of a number?"""
    return any(number.note for number in grid.numbers.values())


def _row(block: str, row: list[Beside]) -> TableRow:
    """A row of the layout: its name and, for every side, published and ours."""
    first = row[0]
    bare, control = first.grid.is_bare(first.row), block == OURS
    data: dict[str, Any] = {"row": first.row.row}
    data["published_on"] = "" if bare or control else first.column.published
    data |= {"fraction": None if bare else first.fraction, **_named(row)}
    for beside in row:
        data |= _data(beside)
    name = Cell(first.row.row, notes=first.marks())
    where = Cell(first.column.title if data["published_on"] else DASH)
    numbers = [cell for beside in row for cell in _numbers(beside)]
    return TableRow(block, (name, where, *_who(row, bare), *numbers), data)


def _who(row: list[Beside], bare: bool) -> Iterator[Cell]:
    """Label fraction, what the number's transcript says, and ours by name."""
    first = row[0]
    if _by_fraction(first.grid.layout):
        yield Cell(DASH if bare else words.percent(first.fraction))
    if _is_noted(first.grid):
        yield Cell(_joined(row, lambda beside: beside.number.note if beside.number else "") or DASH)
    yield Cell(_joined(row, lambda beside: beside.entry.name if beside.entry else "") or DASH)


def _joined(row: list[Beside], tell: Callable[[Beside], str]) -> str:
    """What is told of the sides of a row, each once."""
    return " / ".join(dict.fromkeys(filter(None, map(tell, row))))


def _named(row: list[Beside]) -> dict[str, Any]:
    """Label, title, source and overlap of ours, for the CSV."""
    known = [named(beside.entry) for beside in row if beside.entry]
    fields = dict.fromkeys(name for one in known for name in one)
    told = {name: dict.fromkeys(str(one[name]) for one in known if name in one) for name in fields}
    return {"label": "", "title": ""} | {name: " / ".join(values) for name, values in told.items()}


def _numbers(beside: Beside) -> list[Cell]:
    """Published, its ±, ours with spread, interval and seeds, the difference, the verdict."""
    number, notes = beside.number, beside.grid.notes
    mean, spread = (number.mean, number.spread) if number else (_NONE, _NONE)
    published = [Cell(words.points(mean)), Cell(DASH if spread != spread else f"± {words.points(spread)}")]
    gap = Cell(DASH if beside.gap is None else words.gap(beside.gap, scale=1))
    verdict = Cell(beside.word, notes=notes(*beside.because()))
    return [*published, *score_cells(beside.score, notes), gap, verdict]


def _data(beside: Beside) -> dict[str, Any]:
    """Everything about one number, for the CSV: published and ours as fractions, the difference in points."""
    number = beside.number
    published = (number.mean, number.spread, number.note) if number else (None, None, "")
    data = dict(zip(("published", "published_spread", "published_note"), published, strict=True))
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
