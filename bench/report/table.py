"""A table as an object, with its forms CSV and Markdown; LaTeX is in `latex`, the page's form in its template.

What is shown (cells) and what is computed with (data) stand side by side in each row, so the forms cannot disagree.
"""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tabulate import tabulate

DASH = "–"

SIMULATED = "SIMULATED DATA."
"""Begins the title of everything whose numbers were not measured on real ECGs."""


@dataclass(frozen=True)
class Cell:
    """One shown cell.

    Attributes:
        emphasis: 'best' is printed bold, 'second' underlined.
        dagger: not separable from the best.
        notes: numbers of footnotes, from 1.
    """

    text: str = DASH
    emphasis: Literal["", "best", "second"] = ""
    dagger: bool = False
    notes: tuple[int, ...] = ()


@dataclass(frozen=True)
class TableRow:
    """A row: its block, its shown cells, and its machine-readable data for the CSV."""

    block: str
    cells: tuple[Cell, ...]
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column head.

    Attributes:
        left: for text.
        width: in LaTeX, as a share of the line; 0: as wide as its text.
        notes: numbers of footnotes, from 1.
    """

    head: str
    left: bool = False
    width: float = 0.0
    notes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: of its files.
        title: one sentence; begins by saying so where the numbers are simulated.
        caption: corpus, scale, split, and what the columns mean.
        context: columns that stand before the data in every row of the CSV.
        footnotes: numbered from 1.
        fields: of the CSV, where there may be no row to tell them.
        long: may run over pages in LaTeX.
    """

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    footnotes: tuple[str, ...] = ()
    context: Mapping[str, Any] = field(default_factory=dict)
    fields: tuple[str, ...] = ()
    long: bool = False

    @property
    def heading(self) -> str:
        """The title's words before its colon, without the mark of simulated data, which stands beside them."""
        return self.title.removeprefix(f"{SIMULATED} ").partition(": ")[0].removesuffix(".")

    def blocks(self) -> list[tuple[str, list[TableRow]]]:
        """Rows by block, in order."""
        found: dict[str, list[TableRow]] = {}
        for row in self.rows:
            found.setdefault(row.block, []).append(row)
        return list(found.items())


class Footnotes:
    """Collects footnotes and gives each text one number."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, *texts: str) -> tuple[int, ...]:
        """The numbers of these texts; empty ones are left out."""
        self.texts += [text for text in dict.fromkeys(texts) if text and text not in self.texts]
        return tuple(sorted(self.texts.index(text) + 1 for text in set(texts) if text))


def to_csv(table: Table) -> str:
    """Machine-readable form: the context, the block and the data of every row, and its footnotes as text."""
    names = list(dict.fromkeys([*table.fields, *(name for row in table.rows for name in row.data)]))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*table.context, "block", *names, "notes"])
    for row in table.rows:
        numbers = sorted({number for cell in row.cells for number in cell.notes})
        notes = " | ".join(table.footnotes[number - 1] for number in numbers)
        values = [plain(row.data.get(name)) for name in names]
        writer.writerow([*(plain(v) for v in table.context.values()), row.block, *values, notes])
    return buffer.getvalue()


def plain(value: Any) -> Any:
    """A CSV value: six decimals at most, nothing for what is unknown."""
    if value is None or value != value:
        return ""
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def to_markdown(table: Table) -> str:
    """Title, caption, pipe table, footnotes."""
    lines = []
    for block, rows in table.blocks():
        if block:
            lines.append([f"*{_markdown(block)}*", *[""] * (len(table.columns) - 1)])
        lines += [[_markdown_cell(cell) for cell in row.cells] for row in rows]
    heads = [_markdown(column.head) + _superscript(column.notes) for column in table.columns]
    align = ["left" if column.left else "right" for column in table.columns]
    body = (
        tabulate(lines, headers=heads, tablefmt="pipe", colalign=align, disable_numparse=True)
        if lines
        else ""
    )
    notes = [f"{number}. {_markdown(text)}" for number, text in enumerate(table.footnotes, 1)]
    head = [f"**{_markdown(table.title)}**", "", _markdown(table.caption)]
    return "\n".join([*head, "", body or "Nothing.", "", *notes]).rstrip() + "\n"


def _markdown_cell(cell: Cell) -> str:
    text = _markdown(cell.text)
    text = (
        f"**{text}**" if cell.emphasis == "best" else f"<u>{text}</u>" if cell.emphasis == "second" else text
    )
    marks = ("†" if cell.dagger else "") + _superscript(cell.notes)
    return text + marks


def _superscript(notes: tuple[int, ...]) -> str:
    return f"<sup>{','.join(map(str, notes))}</sup>" if notes else ""


def _markdown(text: str) -> str:
    for sign, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, safe)
    return re.sub(r"([\\|*_`\[\]])", r"\\\1", text).replace("\n", " ")
