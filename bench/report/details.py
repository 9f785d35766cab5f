"""Tables that stand behind the board: cost, comparisons with the controls, classes, and what has no result."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.report import words
from bench.report.group_summary import AnySummary, GroupEntry, GroupSummary
from bench.report.group_words import READOUTS
from bench.report.stats import holm
from bench.report.summary import Entry, Missing, Summary
from bench.report.table import DASH, Cell, Column, Footnotes, Table, TableRow
from bench.report.tables import BLOCKS, Key, board_rows, make_table, named
from bench.run.suite import Suite

_OTHER_ENCODER = "This row's encoder is not the control's: the difference is also one of encoders"

_NO_RESULT = ("label", "title", "fractions", "seed_indices", "status", "reason")


def cost(summary: AnySummary, suite: Suite) -> Table:
    """What a fit of each row took."""

    def row(block: str, entry: Entry | GroupEntry) -> TableRow:
        took = entry.cost
        shown = [words.size(took[name]) for name in ("views", "lead_samples", "flops")]
        shown += [
            words.seconds(took["seconds"]),
            words.size(took["peak_memory_mib"]),
            words.size(took["parameters"]),
        ]
        return TableRow(block, (Cell(entry.name), *map(Cell, shown)), {**named(entry), **took})

    heads = ("views", "lead-samples", "FLOPs", "fit seconds", "peak MiB", "encoder parameters")
    columns = (Column("strategy", left=True), *map(Column, heads))
    own = [f"{words.percent(e.fraction)} in {e.name}" for e in _of_other_fraction(summary)]
    other = f" ({'; '.join(own)})" if own else ""
    what = f"Cost of a fit at {words.percent(summary.headline)} labels{other}, mean over seeds."
    more = (
        "The fits that a row starts from are included (peak memory: the most that one of them held beyond"
        " what its process held before); a row whose"
        " embedding uses no encoder has no parameters. FLOPs: of convolutions, matrix products and recurrent layers,"
        " forward and backward, of all training steps."
    )
    rows = group_rows(summary, row) if isinstance(summary, GroupSummary) else board_rows(summary, row)
    return make_table("cost", what, summary, suite, columns, rows, more=more)


def _of_other_fraction(summary: AnySummary) -> list[GroupEntry]:
    """Entries, each once, that see another share of the labels than most."""
    if not isinstance(summary, GroupSummary):
        return []
    entries = {entry.label: entry for entry in summary.entries}
    return [entry for entry in entries.values() if entry.fraction != summary.headline]


def group_rows(
    summary: GroupSummary, make: Callable[[str, Entry | GroupEntry], TableRow]
) -> tuple[TableRow, ...]:
    """A row for every entry with any grouping, in the plan's order, strategies first."""
    have = {entry.label: entry for entry in reversed(summary.entries) if entry.keys}
    ordered = [have[label] for label in dict.fromkeys(e.label for e in summary.entries) if label in have]
    return tuple(make(block, e) for block, origin in BLOCKS.items() for e in ordered if e.origin == origin)


def comparisons(summary: Summary, suite: Suite, resamples: int) -> Table:
    """Every strategy, and every better control, minus each control, paired on the same test records.

    Nothing is compared with what starts from another fit. Of controls of one kind with several encoders, a row is
    compared with that of its own.
    """
    ranked = summary.ranked("baseline")
    controls = [entry for entry in ranked if words.first_of(suite, entry.label) == entry.label]
    notes, rows = Footnotes(), list[TableRow]()
    for control in controls:
        others = [*summary.ranked("strategy"), *ranked[: ranked.index(control)]]
        fair = [entry for entry in others if _fair(suite, entry, control, controls)]
        rows += _against(
            summary, control, fair, {e.key: notes(_other_encoder(suite, e, control)) for e in fair}
        )
    what = f"Each row minus the control that heads its block: {words.SCORE}, {words.percent(summary.headline)} labels."
    more = (
        f"Means over seeds on the same test records; {resamples:,} paired bootstrap resamples of the test patients;"
        " p two-sided, Holm-corrected over the rows of a block."
        f"{words.for_these_encoders(suite.seeds)}"
    )
    heads = ("difference", words.INTERVAL, "p", "p (Holm)")
    columns = (Column("row", left=True), *map(Column, heads))
    table = make_table("comparisons", what, summary, suite, columns, tuple(rows), notes, more)
    return replace(table, long=True)


def _fair(suite: Suite, entry: Entry, control: Entry, controls: Sequence[Entry]) -> bool:
    """Whether a control has the entry's encoder, or none of its kind has."""
    own = words.encoder_of(suite, entry.label)
    kind = (other for other in controls if other.strategy == control.strategy)
    alike = [other.label for other in kind if words.encoder_of(suite, other.label) == own]
    return not alike or control.label in alike


def _other_encoder(suite: Suite, entry: Entry, control: Entry) -> str:
    """What a reader must know where a row and a control embed with different encoders; empty elsewhere."""
    embed = all(one.cost["parameters"] == one.cost["parameters"] for one in (entry, control))
    alike = words.encoder_of(suite, entry.label) == words.encoder_of(suite, control.label)
    return "" if alike or not embed else _OTHER_ENCODER


def _against(
    summary: Summary, control: Entry, others: Sequence[Entry], notes: Mapping[Key, tuple[int, ...]]
) -> list[TableRow]:
    """Args: notes: of the rows by key."""
    base = summary.score(control)
    pairs = [(entry, score) for entry in others if (score := summary.score(entry))]
    if base is None:
        return []
    tests = [score.minus(base) for _, score in pairs]
    rows = []
    for (entry, _), test, corrected in zip(pairs, tests, holm([test.p for test in tests]), strict=True):
        shown = (words.gap(test.value), words.gap_span(test))
        name = Cell(entry.name, notes=notes[entry.key])
        cells = [name, *map(Cell, shown), Cell(f"{test.p:.3f}"), Cell(f"{corrected:.3f}")]
        data: dict[str, Any] = {**named(entry), "minus": control.label, "difference": test.value}
        data |= {"low": test.low, "high": test.high, "p": test.p, "p_holm": float(corrected)}
        rows.append(TableRow(f"minus {control.name}", tuple(cells), data))
    return rows


def classes(summary: Summary, suite: Suite) -> Table | None:
    """AUROC of each class at the headline fraction; None where there are too many classes for a table."""
    rows = summary.rows[summary.rows["metric"].str.startswith("auroc/")]
    rows = rows[rows["fraction"] == summary.headline]
    names = list(dict.fromkeys(rows["metric"]))
    if not names or len(names) > words.MANY_CLASSES:
        return None
    means = rows.groupby(["label", "source", "metric"])["value"].mean()

    def row(block: str, entry: Entry) -> TableRow:
        values = {name: float(means.get((*entry.key, name), float("nan"))) for name in names}
        cells = (Cell(entry.name), *(Cell(words.points(value)) for value in values.values()))
        return TableRow(block, cells, {**named(entry), **values})

    what = f"One-vs-rest {words.SCORE} of each class at {words.percent(summary.headline)} labels, mean over seeds."
    columns = (Column("strategy", left=True), *(Column(name.removeprefix("auroc/")) for name in names))
    return make_table("classes", what, summary, suite, columns, board_rows(summary, row))


def no_result(summary: AnySummary, suite: Suite, groups: GroupSummary | None = None) -> Table:
    """What was asked for and has no result, with the reason; entries that share a reason share a line.

    Args:
        groups: of the same setting, where `summary` is of scores.
    """
    asked: list[Entry | GroupEntry] = [*summary.entries, *(groups.entries if groups else ())]
    found: dict[Missing, list[Entry | GroupEntry]] = {}
    for entry in asked:
        for missing in entry.missing:
            found.setdefault(missing, []).append(entry)
    rows = []
    for missing, entries in found.items():
        titles = [entry.title if isinstance(entry, GroupEntry) else entry.name for entry in entries]
        whole = len(entries) == len(asked) > 1
        names = f"all {len(entries)} rows" if whole else "; ".join(titles)
        fractions = ", ".join(words.percent(fraction) for fraction in missing.fractions)
        seeds = ", ".join(map(str, missing.seeds))
        data = {
            "label": " ".join(dict.fromkeys(entry.label for entry in entries)),
            "title": "; ".join(titles),
            "fractions": " ".join(f"{fraction:g}" for fraction in missing.fractions),
            "seed_indices": " ".join(map(str, missing.seeds)),
        }
        data |= {"status": missing.status, "reason": missing.reason}
        shown = (names, fractions, seeds, missing.status, missing.reason)
        rows.append(TableRow("", tuple(map(Cell, shown)), data))
    heads = {"strategy": 0.22, "label fractions": 0.12, "seed indices": 0.0, "status": 0.0, "reason": 0.34}
    columns = tuple(Column(head, left=True, width=width) for head, width in heads.items())
    what, more = "Asked for, without a result.", ""
    if any(isinstance(entry, GroupEntry) and entry.missing for entry in asked):
        more = READOUTS
    table = make_table("no_result", what, summary, suite, columns, tuple(rows), more=more)
    return replace(table, long=True, fields=_NO_RESULT)


def methods(summary: AnySummary, suite: Suite) -> Table:
    """Where each row's method comes from, and what of it differs from its paper: once, wherever it was pre-trained."""
    rows = []
    described = summary.rows.sort_values("source", kind="stable").drop_duplicates("label").set_index("label")
    for entry in words.by_label(summary.entries).values():
        row = described.loc[entry.label]
        differs = " ".join(row["deviations"])
        name = words.titles([entry])[entry.label]
        shown = (name, row["recipe"] or DASH, row["paper"] or DASH, differs or DASH)
        data = {"label": entry.label, "title": name, "strategy": row["strategy"], "recipe": row["recipe"]}
        data |= {"paper": row["paper"], "deviations": differs}
        rows.append(TableRow("", tuple(map(Cell, shown)), data))
    heads = {"strategy": 0.18, "recipe": 0.0, "paper": 0.2, "what differs from it": 0.4}
    columns = tuple(Column(head, left=True, width=width) for head, width in heads.items())
    return replace(make_table("methods", "Methods.", summary, suite, columns, tuple(rows)), long=True)
