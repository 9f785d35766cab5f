"""Published numbers of a paper's grids that stand beside nothing of ours in any table of a run, and why."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from bench.report import words
from bench.report.layout import GridColumn, GridLayout, GridRow
from bench.report.paper_common import base_name
from bench.report.published import Place, grid_numbers, published
from bench.report.summary import Setting, Summary
from bench.report.table import Cell, Column, Table, TableRow
from bench.run.cell import FitCell
from bench.run.plan import Plan, Row
from bench.run.suite import Suite

_NAME, _FEW = "not_run", 8


@dataclass(frozen=True)
class Asked:
    """One evaluation that a run asks for, by the axes of a grid."""

    corpus: str
    task: str
    lead_set: str
    dim: int
    label: str
    source: str
    fraction: float


_LACKS = {
    "corpus": "corpus {}",
    "task": "task {}",
    "lead_set": "lead set {}",
    "dim": "embeddings of length {}",
    "label": "no entry {!r}",
    "source": "pre-training on {}",
    "fraction": "label fraction {:g}",
}
"""How what a run lacks is told of, by axis."""


def is_first(plan: Plan, summary: Summary) -> bool:
    """Is this the first setting of its suite?"""
    first = next(_rows(plan, summary.setting.suite))
    return Setting(**{axis.name: getattr(first, axis.name) for axis in fields(Setting)}) == summary.setting


def unmatched(plan: Plan, suite: Suite, grids: Mapping[str, GridLayout]) -> list[Table]:
    """The listing, one row a column and reason; none where all numbers stand beside something of ours."""
    asked, numbers = _asked(plan, suite.name), published(suite.name)
    found: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for name, layout in grids.items():
        own = grid_numbers((n for n in numbers if n.table == name), name, layout)
        for column, reason, row in _reasons(layout, own, asked, suite.scale):
            found.setdefault((column.published, column.title, reason), []).append((_short(layout), row))
    if not found:
        return []
    rows = tuple(_row(*place, names) for place, names in found.items())
    count = sum(map(len, found.values()))
    title = f"{suite.title}: published numbers with nothing of ours beside them in this run."
    caption = f"Scale {suite.scale}; {count:,} of {len(numbers):,} published numbers."
    heads = [Column("published on", left=True, width=0.16), Column("in", left=True, width=0.2)]
    heads += [Column("rows", left=True, width=0.2), Column("numbers"), Column("why", left=True, width=0.3)]
    context = {"suite": suite.name, "scale": suite.scale}
    return [Table(_NAME, title, caption, tuple(heads), rows, context=context, long=True)]


def _short(layout: GridLayout) -> str:
    """'Table 9' of the title 'CLOCS, Table 9 (linear evaluation, 4 leads, E = 128)'."""
    return layout.title.partition(" (")[0].rpartition(", ")[2]


def _row(published_on: str, title: str, reason: str, names: Sequence[tuple[str, str]]) -> TableRow:
    """Args: names: of table and row, one a number."""
    tables, of = (list(dict.fromkeys(part)) for part in zip(*names, strict=True))
    told = "; ".join(of) if len(of) <= _FEW else words.counted(len(of), "row")
    data = {"published_on": published_on, "tables": " | ".join(tables), "rows": " | ".join(of)}
    shown = (title, ", ".join(tables), told, f"{len(names):,}", reason)
    return TableRow("", tuple(map(Cell, shown)), data | {"numbers": len(names), "because": reason})


def _reasons(
    layout: GridLayout, places: Iterable[Place], asked: Sequence[Asked], scale: str
) -> Iterator[tuple[GridColumn, str, str]]:
    """Column, reason and row of every unmatched number."""
    columns = {column.published: column for column in layout.columns}
    left = {name: _narrowed(asked, _where(layout, column)) for name, column in columns.items()}
    for place in places:
        column, row = columns[place.column], next(row for row in layout.rows if row.row == place.row)
        near, lacking = left[place.column]
        if not lacking:
            _, lacking = _narrowed(near, _who(layout, column, row, place))
        because = layout.reason or column.reason or row.reason
        if because or lacking:
            yield column, because or f"Not run at scale {scale}: {lacking}", place.row


def _where(layout: GridLayout, column: GridColumn) -> dict[str, Any]:
    """The setting that a column is about; None: any."""
    axes = (column.corpus, column.task, layout.lead_set or None, layout.dim or None)
    return dict(zip(("corpus", "task", "lead_set", "dim"), axes, strict=True))


def _who(layout: GridLayout, column: GridColumn, row: GridRow, place: Place) -> dict[str, Any]:
    """The entry that a number is about, and its label fraction."""
    side = next(side for side in layout.sides if side.setting == place.side)
    source = column.source if row.source is None else row.source
    return {"label": row.label_of(side), "source": source, "fraction": place.fraction}


def _narrowed(asked: Sequence[Asked], wanted: Mapping[str, Any]) -> tuple[Sequence[Asked], str]:
    """What is asked for of the wanted, and, where it is nothing, the first thing that is not."""
    for axis, value in wanted.items():
        if value is None:
            continue
        asked = [one for one in asked if getattr(one, axis) == value]
        if not asked:
            return asked, _LACKS[axis].format(words.CORPORA.get(value, value))
    return asked, ""


def _asked(plan: Plan, suite: str) -> list[Asked]:
    """What a suite's plan asks for, trained and evaluated on the same leads."""
    rows = [row for row in _rows(plan, suite) if row.lead_set == row.eval_lead_set]
    cells = [(row, plan.jobs[row.fit_key].cell) for row in rows if row.fit_key]
    dims = {
        (row.corpus, row.encoder): c.encoder.arguments.get("dim", 0)
        for row, c in cells
        if isinstance(c, FitCell)
    }
    return list(
        dict.fromkeys(
            Asked(
                base_name(row.corpus),
                row.task,
                row.lead_set,
                dims.get((row.corpus, row.encoder), 0),
                row.label,
                base_name(row.source),
                row.fraction,
            )
            for row in rows
        )
    )


def _rows(plan: Plan, suite: str) -> Iterator[Row]:
    """Evaluations of clean scores."""
    return (row for row in plan.rows if row.suite == suite and not (row.grouping or row.noise))
