import csv
import io

import pytest

from bench.report.table import (
    Cell,
    Column,
    Footnotes,
    Table,
    TableRow,
    latex,
    plain,
    to_csv,
    to_latex,
    to_markdown,
)


@pytest.fixture
def table() -> Table:
    rows = (
        TableRow("ours", (Cell("A_b 5%"), Cell("91.0", "best")), {"label": "a_b", "score": 0.91}),
        TableRow(
            "ours", (Cell("x|y<z>"), Cell("90.5", "second", True, (1,))), {"label": "x", "score": 0.905}
        ),
        TableRow("controls", (Cell("prior"), Cell()), {"label": "prior", "score": None, "rank": 3}),
    )
    columns = (Column("row", left=True), Column("AUROC ×100"))
    return Table(
        "t", "SIMULATED DATA. T_1", "100 % of it.", columns, rows, ("a & b",), {"corpus": "tiny-sim"}
    )


def test_latex_escapes_what_it_would_read_as_commands():
    assert latex("a_b 50% & $x$ #1 {y} ~ ^ \\") == (
        r"a\_b 50\% \& \$x\$ \#1 \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )
    assert latex("±1 − 2 × 3 – 4 \u00a0%") == r"$\pm$1 $-$ 2 $\times$ 3 -- 4 ~\%"


def test_latex_is_a_booktabs_table_with_marks_and_notes(table):
    lines = to_latex(table).splitlines()
    assert r"A\_b 5\% & \textbf{91.0} \\" in lines
    assert r"x|y\textless{}z\textgreater{} & \underline{90.5}$^\dagger$\textsuperscript{1} \\" in lines
    assert [line for line in lines if line.endswith("rule")] == [
        r"\toprule",
        *[r"\midrule"] * 2,
        r"\bottomrule",
    ]
    assert r"\multicolumn{2}{l}{\emph{controls}} \\" in lines
    assert r"\textsuperscript{1}~a \& b" in lines
    assert r"\caption[SIMULATED DATA. T\_1]{\textbf{SIMULATED DATA. T\_1} 100 \% of it.}" in lines


def test_wide_latex_tables_are_scaled_to_the_line(table):
    wide = Table("t", "T", "", tuple(map(Column, "abcdefghi")), ())
    assert r"\resizebox{\linewidth}{!}{%" in to_latex(wide)
    assert "resizebox" not in to_latex(table)


def test_csv_has_context_data_and_notes_in_every_row(table):
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert list(rows[0]) == ["corpus", "block", "label", "score", "rank", "notes"]
    assert {row["corpus"] for row in rows} == {"tiny-sim"}
    assert [row["score"] for row in rows] == ["0.91", "0.905", ""]
    assert [row["notes"] for row in rows] == ["", "a & b", ""]


def test_plain_values_have_six_decimals_at_most():
    assert [plain(v) for v in (1 / 3, 2.0, float("nan"), None, 7, "x")] == ["0.333333", "2", "", "", 7, "x"]


def test_markdown_is_a_pipe_table_that_hides_no_sign(table):
    text = to_markdown(table)
    assert text.startswith("**SIMULATED DATA. T\\_1**\n\n100 % of it.\n\n| row")
    assert "**91.0**" in text
    assert r"x\|y&lt;z&gt;" in text
    assert "<u>90.5</u>†<sup>1</sup>" in text
    assert text.rstrip().endswith("1. a & b".replace("&", "&amp;"))


def test_a_table_without_rows_says_so():
    assert "Nothing." in to_markdown(Table("t", "T", "c", (Column("a"),), ()))


def test_a_footnote_has_one_number_whoever_needs_it():
    notes = Footnotes()
    assert notes("b", "", "a") == (1, 2)
    assert notes("a", "c") == (2, 3)
    assert notes() == ()
    assert notes.texts == ["b", "a", "c"]
