"""Tables that stand behind the board: cost, comparisons with the controls, classes, and what has no result."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.report import words
from bench.report.stats import difference, holm
from bench.report.summary import Entry, Missing, Summary
from bench.report.table import DASH, Cell, Column, Table, TableRow
from bench.report.tables import board_rows, make_table, named
from bench.run.suite import Suite

_MOST_CLASSES = 15  # more would not fit a page
_NO_RESULT = ("label", "title", "fractions", "seed_indices", "status", "reason")


def cost(summary: Summary, suite: Suite) -> Table:
    """What a fit of each row took."""

    def row(block: str, entry: Entry) -> TableRow:
        took = entry.cost
        shown = [words.size(took[name]) for name in ("views", "lead_samples")]
        shown += [words.seconds(took["seconds"]), words.size(took["parameters"])]
        return TableRow(block, (Cell(entry.name), *map(Cell, shown)), {**named(entry), **took})

    heads = ("views", "lead-samples", "fit seconds", "encoder parameters")
    columns = (Column("strategy", left=True), *map(Column, heads))
    what = f"Cost of a fit at {words.percent(summary.headline)} labels, mean over seeds."
    more = "The fits that a row starts from are included; a row whose embedding uses no encoder has no parameters."
    return make_table("cost", what, summary, suite, columns, board_rows(summary, row), more=more)


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
        f"{words.for_these_encoders(suite.seeds)}"
    )
    heads = ("difference", words.INTERVAL, "p", "p (Holm)")
    columns = (Column("row", left=True), *map(Column, heads))
    table = make_table("comparisons", what, summary, suite, columns, tuple(rows), more=more)
    return replace(table, long=True)


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
        data: dict[str, Any] = {**named(entry), "minus": control.label, "difference": test.value}
        data |= {"low": test.low, "high": test.high, "p": test.p, "p_holm": float(corrected)}
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
        return TableRow(block, cells, {**named(entry), **values})

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
        names = f"all {len(entries)} rows" if whole else "; ".join(entry.name for entry in entries)
        fractions = ", ".join(words.percent(fraction) for fraction in missing.fractions)
        seeds = ", ".join(map(str, missing.seeds))
        data = {
            "label": " ".join(entry.label for entry in entries),
            "title": "; ".join(entry.name for entry in entries),
            "fractions": " ".join(f"{fraction:g}" for fraction in missing.fractions),
            "seed_indices": " ".join(map(str, missing.seeds)),
        }
        data |= {"status": missing.status, "reason": missing.reason}
        shown = (names, fractions, seeds, missing.status, missing.reason)
        rows.append(TableRow("", tuple(map(Cell, shown)), data))
    heads = {"strategy": 0.22, "label fractions": 0.12, "seed indices": 0.0, "status": 0.0, "reason": 0.34}
    columns = tuple(Column(head, left=True, width=width) for head, width in heads.items())
    table = make_table("no_result", "Asked for, without a result.", summary, suite, columns, tuple(rows))
    return replace(table, long=True, fields=_NO_RESULT)


def methods(summary: Summary, suite: Suite) -> Table:
    """Where each row's method comes from, and what of it differs from its paper."""
    rows = []
    described = summary.rows.drop_duplicates("label").set_index("label")
    for entry in summary.entries:
        row = described.loc[entry.label]
        differs = " ".join(row["deviations"])
        shown = (entry.name, row["recipe"] or DASH, row["paper"] or DASH, differs or DASH)
        data = {**named(entry), "strategy": row["strategy"], "recipe": row["recipe"]}
        data |= {"paper": row["paper"], "deviations": differs}
        rows.append(TableRow("", tuple(map(Cell, shown)), data))
    heads = {"strategy": 0.18, "recipe": 0.0, "paper": 0.2, "what differs from it": 0.4}
    columns = tuple(Column(head, left=True, width=width) for head, width in heads.items())
    return replace(make_table("methods", "Methods.", summary, suite, columns, tuple(rows)), long=True)
