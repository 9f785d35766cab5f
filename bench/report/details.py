"""Tables that stand behind the board: comparisons with the controls, classes, and what has no result."""

from collections.abc import Sequence

from bench.report import words
from bench.report.stats import difference, holm
from bench.report.summary import Entry, Missing, Summary
from bench.report.table import DASH, Cell, Column, Table, TableRow
from bench.report.tables import board_rows, make_table
from bench.run.suite import Suite

_MOST_CLASSES = 15  # more would not fit a page


def comparisons(summary: Summary, suite: Suite, resamples: int) -> Table:
    """Every strategy, and every better control, minus each control, paired on the same test records."""
    controls = summary.ranked("baseline")
    rows: list[TableRow] = []
    for place, control in enumerate(controls):
        rows += _against(summary, control, [*summary.ranked("strategy"), *controls[:place]])
    what = f"Each row minus the control that heads its block: {words.SCORE}, {words.percent(summary.headline)} labels."
    more = (
        f"Means over seeds on the same test records; {resamples:,} paired bootstrap resamples of the test patients;"
        " p two-sided, Holm-corrected over the rows of a block."
    )
    heads = ("difference", words.INTERVAL, "p", "p (Holm)")
    columns = (Column("row", left=True), *map(Column, heads))
    return make_table("comparisons", what, summary, suite, columns, tuple(rows), more=more)


def _against(summary: Summary, control: Entry, others: Sequence[Entry]) -> list[TableRow]:
    base = summary.score(control)
    pairs = [(entry, score) for entry in others if (score := summary.score(entry))]
    if base is None:
        return []
    tests = [difference(s.seeds.mean - base.seeds.mean, s.draws, base.draws) for _, s in pairs]
    rows = []
    for (entry, _), test, corrected in zip(pairs, tests, holm([test.p for test in tests]), strict=True):
        shown = (words.gap(test.value), f"{words.gap(test.low)} to {words.gap(test.high)}")
        cells = [Cell(entry.name), *map(Cell, shown), Cell(f"{test.p:.3f}"), Cell(f"{corrected:.3f}")]
        data = {"row": entry.label, "minus": control.label, "difference": test.value, "low": test.low}
        data |= {"high": test.high, "p": test.p, "p_holm": float(corrected)}
        rows.append(TableRow(f"minus {control.name}", tuple(cells), data))
    return rows


def classes(summary: Summary, suite: Suite) -> Table | None:
    """AUROC of each class at the headline fraction; None where there are too many classes for a table."""
    rows = summary.rows[summary.rows["metric"].str.startswith("auroc/")]
    rows = rows[rows["fraction"] == summary.headline]
    names = list(dict.fromkeys(rows["metric"]))
    if not names or len(names) > _MOST_CLASSES:
        return None
    means = rows.groupby(["label", "metric"])["value"].mean()

    def row(block: str, entry: Entry) -> TableRow:
        values = {name: float(means.get((entry.label, name), float("nan"))) for name in names}
        cells = (Cell(entry.name), *(Cell(words.points(value)) for value in values.values()))
        return TableRow(block, cells, {"label": entry.label, **values})

    what = f"One-vs-rest {words.SCORE} of each class at {words.percent(summary.headline)} labels, mean over seeds."
    columns = (Column("strategy", left=True), *(Column(name.removeprefix("auroc/")) for name in names))
    return make_table("classes", what, summary, suite, columns, board_rows(summary, row))


def no_result(summary: Summary, suite: Suite) -> Table:
    """What was asked for and has no result, with the reason; entries that share a reason share a line."""
    found: dict[Missing, list[Entry]] = {}
    for entry in summary.entries:
        for missing in entry.missing:
            found.setdefault(missing, []).append(entry)
    rows = []
    for missing, entries in found.items():
        whole = len(entries) == len(summary.entries) > 1
        names = f"all {len(entries)} rows" if whole else ", ".join(entry.name for entry in entries)
        fractions = ", ".join(words.percent(fraction) for fraction in missing.fractions)
        seeds = ", ".join(map(str, missing.seeds))
        data = {
            "labels": " ".join(entry.label for entry in entries),
            "fractions": " ".join(f"{fraction:g}" for fraction in missing.fractions),
            "seed_indices": " ".join(map(str, missing.seeds)),
        }
        data |= {"status": missing.status, "reason": missing.reason}
        shown = (names, fractions, seeds, missing.status, missing.reason)
        rows.append(TableRow("", tuple(map(Cell, shown)), data))
    heads = ("strategy", "label fractions", "seed indices", "status", "reason")
    columns = tuple(Column(head, left=True) for head in heads)
    return make_table("no_result", "Asked for, without a result.", summary, suite, columns, tuple(rows))


def methods(summary: Summary, suite: Suite) -> Table:
    """Where each row's method comes from, and what of it differs from its paper."""
    rows = []
    described = summary.rows.drop_duplicates("label").set_index("label")
    for entry in summary.entries:
        row = described.loc[entry.label]
        differs = " ".join(row["deviations"])
        shown = (entry.name, row["recipe"] or DASH, row["paper"] or DASH, differs or DASH)
        data = {"label": entry.label, "strategy": row["strategy"], "recipe": row["recipe"]}
        data |= {"paper": row["paper"], "deviations": differs}
        rows.append(TableRow("", tuple(map(Cell, shown)), data))
    heads = ("strategy", "recipe", "paper", "what differs from it")
    columns = tuple(Column(head, left=True) for head in heads)
    return make_table("methods", "Methods.", summary, suite, columns, tuple(rows))
