import csv
import io
from dataclasses import replace

import pytest

from bench.report.latex import latex, to_latex
from bench.report.table import (
    Cell,
    Column,
    Footnotes,
    Table,
    TableRow,
    plain,
    to_csv,
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
    assert r"\textsuperscript{1}~a \& b\par" in lines
    assert any(line.endswith(r"\scriptsize\raggedright") for line in lines)
    assert r"\caption[SIMULATED DATA. T\_1]{\textbf{SIMULATED DATA. T\_1} 100 \% of it.}" in lines


def test_heads_of_latex_tables_are_stacked_and_wide_text_wraps():
    columns = (
        Column("paid for in training", left=True),
        Column("95\u00a0% interval over test patients", notes=(2,)),
        Column("reason", left=True, width=0.4),
    )
    text = to_latex(Table("t", "T", "", columns, ()))
    assert r"\shortstack[l]{paid for in \\ training} & " in text
    assert r"\shortstack[r]{95~\% interval \\ over test \\ patients\textsuperscript{2}} & reason \\" in text
    assert r"\begin{tabular}{lr>{\raggedright\arraybackslash}p{0.4\linewidth}}" in text


def test_columns_of_dashes_are_left_out_of_latex_unless_their_head_says_why():
    columns = (Column("row"), Column("empty"), Column("noted", notes=(1,)), Column("score"))
    rows = tuple(TableRow("", (Cell(name), Cell(), Cell(), Cell("1")), {}) for name in "ab")
    text = to_latex(Table("t", "T", "", columns, rows, ("why",)))
    assert r"row & noted\textsuperscript{1} & score \\" in text
    assert r"a & -- & 1 \\" in text and "empty" not in text


def test_a_wide_latex_table_lies_on_its_side_and_a_narrow_one_does_not():
    for count, sideways in ((9, False), (10, True)):
        columns = tuple(Column(f"c{place}") for place in range(count))
        text = to_latex(Table("t", "T", "C.", columns, (TableRow("", (Cell("1"),) * count, {}),), ("n",)))
        assert (r"\begin{landscape}" in text) == (r"\captionof{table}[T]" in text) == sideways
        assert (r"\begin{table}" in text) != sideways
        assert {"caption", "pdflscape"} <= set(text.splitlines()[0].removeprefix("% packages: ").split(", "))


def test_a_heading_is_the_title_up_to_its_colon():
    titles = ("SIMULATED DATA. Retrieval, validation part: P@K ×100.", "Methods.")
    headings = [Table("t", title, "", (), ()).heading for title in titles]
    assert headings == ["Retrieval, validation part", "Methods"]


def test_a_long_latex_table_repeats_its_heads(table):
    lines = to_latex(replace(table, long=True)).splitlines()
    assert r"\begin{longtable}{lr}" in lines
    assert lines.count(r"row & AUROC $\times$100 \\") == 2
    assert lines.index(r"\endfirsthead") < lines.index(r"\endhead") < lines.index(r"\endlastfoot")
    assert "tabular" not in "".join(lines)


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


def test_a_csv_without_rows_keeps_its_columns():
    table = Table("t", "T", "c", (Column("a"),), (), fields=("label", "reason"))
    assert to_csv(table) == "block,label,reason,notes\n"


def test_a_head_may_have_a_note(table):
    noted = replace(table, columns=(Column("row", left=True), Column("score", notes=(1,))))
    assert "score<sup>1</sup>" in to_markdown(noted)
