"""The LaTeX form of a table: booktabs, heads in several lines, no column of dashes only.

A long table breaks across pages; a wide one lies on a page turned sideways, its notes running on behind it.
"""

from dataclasses import replace
from textwrap import wrap

from bench.report.table import DASH, Cell, Column, Table

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "×": r"$\times$", "−": r"$-$", "–": "--", "†": r"$^\dagger$", "≥": r"$\geq$", "≤": r"$\leq$",
    "·": r"$\cdot$", "β": r"$\beta$", "\n": " ", "\u00a0": "~",
}  # fmt: skip

_FIT = (
    r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"  # wider than the line: scaled to it
)
_HEAD = 16  # signs of a head's line
_UPRIGHT = 9  # columns that a page holds in type that can be read
_PACKAGES = "array, booktabs, caption, graphicx, longtable, pdflscape"


def latex(text: str) -> str:
    """Text with every character that LaTeX reads as a command escaped."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def to_latex(table: Table) -> str:
    """A table, a longtable, or a page in landscape; the first line names the packages it needs."""
    table = _without_dashes(table)
    heads = " & ".join(_head(column) for column in table.columns) + r" \\"
    spec = "".join(_spec(column) for column in table.columns)
    caption = rf"\caption[{latex(table.title)}]{{\textbf{{{latex(table.title)}}} {latex(table.caption)}}}"
    if not table.long and len(table.columns) > _UPRIGHT:
        caption = caption.replace(r"\caption[", r"\captionof{table}[", 1)
    form = _long if table.long else _sideways if len(table.columns) > _UPRIGHT else _floating
    lines = form(caption, spec, heads, _body(table), _notes(table))
    return "\n".join([f"% packages: {_PACKAGES}", *lines]) + "\n"


def _floating(caption: str, spec: str, heads: str, body: list[str], notes: list[str]) -> list[str]:
    inner = [rf"\begin{{tabular}}{{{spec}}}", r"\toprule", heads, *body, r"\bottomrule", r"\end{tabular}"]
    return [r"\begin{table}", r"\centering", caption, _FIT, *inner, "}", *notes, r"\end{table}"]


def _sideways(caption: str, spec: str, heads: str, body: list[str], notes: list[str]) -> list[str]:
    inner = [rf"\begin{{tabular}}{{{spec}}}", r"\toprule", heads, *body, r"\bottomrule", r"\end{tabular}"]
    start = [r"\begin{landscape}", r"\captionsetup{font=scriptsize}", caption]
    table = [r"\begin{center}\setlength{\tabcolsep}{3pt}", _FIT, *inner, "}", r"\end{center}"]
    return [*start, *table, *notes, r"\end{landscape}"]


def _without_dashes(table: Table) -> Table:
    """The table without columns in which no row shows anything; a head with a note stays, for it says why."""
    kept = [
        place
        for place, column in enumerate(table.columns)
        if not table.rows or column.notes or any(row.cells[place] != Cell(DASH) for row in table.rows)
    ]
    rows = tuple(replace(row, cells=tuple(row.cells[place] for place in kept)) for row in table.rows)
    return replace(table, columns=tuple(table.columns[place] for place in kept), rows=rows)


def _long(caption: str, spec: str, heads: str, body: list[str], notes: list[str]) -> list[str]:
    first = [rf"\begin{{longtable}}{{{spec}}}", caption + r" \\", r"\toprule", heads, r"\endfirsthead"]
    again = [r"\toprule", heads, r"\midrule", r"\endhead", r"\bottomrule", r"\endlastfoot"]
    end = [r"\end{longtable}", *([r"\begingroup", *notes, r"\endgroup"] if notes else [])]
    return [
        r"\begingroup\small\setlength{\LTcapwidth}{\linewidth}",
        *first,
        *again,
        *body,
        *end,
        r"\endgroup",
    ]


def _body(table: Table) -> list[str]:
    lines = []
    for block, rows in table.blocks():
        lines.append(r"\midrule")
        if block:
            lines.append(
                rf"\multicolumn{{{len(table.columns)}}}{{l}}{{\emph{{{latex(block)}}}}} \\{'*' * table.long}"
            )
        lines += [" & ".join(_cell(cell) for cell in row.cells) + r" \\" for row in rows]
    return lines


def _notes(table: Table) -> list[str]:
    if not table.footnotes:
        return []
    notes = [rf"\textsuperscript{{{n}}}~{latex(text)}\par" for n, text in enumerate(table.footnotes, 1)]
    return [r"\par\smallskip\scriptsize\raggedright", *notes]


def _spec(column: Column) -> str:
    if column.width:
        return rf">{{\raggedright\arraybackslash}}p{{{column.width:g}\linewidth}}"
    return "l" if column.left else "r"


def _head(column: Column) -> str:
    """A head in lines of a few signs."""
    lines = [latex(line) for line in wrap(column.head, _HEAD, break_long_words=False)] or [""]
    lines[-1] += _marks(column.notes)
    if len(lines) == 1:
        return lines[0]
    stacked = r" \\ ".join(lines)
    return rf"\shortstack[{'l' if column.left else 'r'}]{{{stacked}}}"


def _cell(cell: Cell) -> str:
    text = latex(cell.text)
    text = rf"\textbf{{{text}}}" if cell.emphasis == "best" else text
    text = rf"\underline{{{text}}}" if cell.emphasis == "second" else text
    return text + (r"$^\dagger$" if cell.dagger else "") + _marks(cell.notes)


def _marks(notes: tuple[int, ...]) -> str:
    return rf"\textsuperscript{{{','.join(map(str, notes))}}}" if notes else ""
