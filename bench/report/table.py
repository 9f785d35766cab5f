"""A table as an object, and its four forms: CSV, Markdown, LaTeX (booktabs), and what the page's template reads.

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
    """A column head; `left` for text."""

    head: str
    left: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: of its files.
        title: one sentence; begins by saying so where the numbers are simulated.
        caption: corpus, scale, split, and what the columns mean.
        context: columns that stand before the data in every row of the CSV.
        footnotes: numbered from 1.
    """

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    footnotes: tuple[str, ...] = ()
    context: Mapping[str, Any] = field(default_factory=dict)

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
    names = list(dict.fromkeys(name for row in table.rows for name in row.data))
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
    heads = [_markdown(column.head) for column in table.columns]
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


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "×": r"$\times$", "−": r"$-$", "–": "--", "†": r"$^\dagger$", "≥": r"$\geq$", "≤": r"$\leq$",
    "·": r"$\cdot$", "\n": " ", "\u00a0": "~",
}  # fmt: skip

_WIDE = 8  # columns from which a LaTeX table is scaled to the line


def latex(text: str) -> str:
    """Text with every character that LaTeX reads as a command escaped."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def to_latex(table: Table) -> str:
    """A table environment; needs the packages booktabs and graphicx."""
    count = len(table.columns)
    lines = [" & ".join(latex(column.head) for column in table.columns) + r" \\"]
    for block, rows in table.blocks():
        lines.append(r"\midrule")
        if block:
            lines.append(rf"\multicolumn{{{count}}}{{l}}{{\emph{{{latex(block)}}}}} \\")
        lines += [" & ".join(_latex_cell(cell) for cell in row.cells) + r" \\" for row in rows]
    spec = "".join("l" if column.left else "r" for column in table.columns)
    body = [rf"\begin{{tabular}}{{{spec}}}", r"\toprule", *lines, r"\bottomrule", r"\end{tabular}"]
    if count > _WIDE:
        body = [r"\resizebox{\linewidth}{!}{%", *body, "}"]
    notes = [rf"\textsuperscript{{{n}}}~{latex(text)}" for n, text in enumerate(table.footnotes, 1)]
    tail = [r"\par\smallskip\footnotesize\raggedright", (r"\par" + "\n").join(notes)] if notes else []
    parts = [
        "% packages: booktabs, graphicx",
        r"\begin{table}",
        r"\centering",
        rf"\caption[{latex(table.title)}]{{\textbf{{{latex(table.title)}}} {latex(table.caption)}}}",
    ]
    return "\n".join([*parts, *body, *tail, r"\end{table}"]) + "\n"


def _latex_cell(cell: Cell) -> str:
    text = latex(cell.text)
    text = rf"\textbf{{{text}}}" if cell.emphasis == "best" else text
    text = rf"\underline{{{text}}}" if cell.emphasis == "second" else text
    notes = rf"\textsuperscript{{{','.join(map(str, cell.notes))}}}" if cell.notes else ""
    return text + (r"$^\dagger$" if cell.dagger else "") + notes
