"""A paper's tables with our numbers beside the published ones, a verdict for each, and our controls below."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.data.corpus import PreparedCorpus
from bench.report import words
from bench.report.grid_tables import grid_tables
from bench.report.layout import Layout, LayoutRow
from bench.report.paper_common import (
    OURS,
    PUBLISHED,
    corpus_of,
    general,
    score_cells,
    score_facts,
    use_of,
)
from bench.report.published import Number, Verdict, judge, layouts, published
from bench.report.summary import Entry, Score, Summary
from bench.report.table import DASH, Cell, Column, Footnotes, Table, TableRow
from bench.report.tables import context, named, score_data
from bench.run.plan import Plan
from bench.run.suite import Suite

__all__ = ["OURS", "PUBLISHED", "corpus_of", "general", "paper_tables", "use_of"]


def paper_tables(plan: Plan, summary: Summary, suite: Suite) -> list[Table]:
    """Every laid-out table of scores, sizes or grids of the paper whose suite this is; none for other suites."""
    tables = []
    for name, layout in layouts(suite.name).items():
        if not isinstance(layout, Layout):
            continue
        numbers = {n.row: n for n in published(suite.name) if n.table == name}
        if layout.kind == "scores":
            tables.append(_score_table(name, layout, numbers, plan, summary, suite))
        else:
            tables.append(
                _size_table(name, layout, numbers, corpus_of(plan, suite, summary.setting), summary)
            )
    return [*tables, *grid_tables(plan, summary, suite)]


def _score_table(
    name: str, layout: Layout, numbers: Mapping[str, Number], plan: Plan, summary: Summary, suite: Suite
) -> Table:
    notes = Footnotes()
    notes(*(layout.footnotes[key] for key in layout.table_footnotes))
    entries = {entry.label: entry for entry in summary.entries if not entry.source}
    corpus = corpus_of(plan, suite, summary.setting)
    rows = []
    for row in layout.rows:
        entry = entries.pop(row.label, None)
        score = summary.score(entry) if entry else None
        verdict = judge(layout, row, score_facts(plan, summary, corpus, score)) if score else None
        rows.append(_published_row(layout, row, numbers[row.row], _Ours(summary, entry, verdict), notes))
    rows += [_own_row(_Ours(summary, entry, None), notes) for entry in entries.values()]
    title = words.title(f"{layout.title}; published and ours.", summary.setting.simulated)
    caption = f"{words.conditions(summary, suite)} {general(layout.table_footnotes)}"
    columns = _score_columns(layout, summary)
    return Table(name, title, caption, columns, tuple(rows), tuple(notes.texts), context(summary))


def _score_columns(layout: Layout, summary: Summary) -> tuple[Column, ...]:
    scores = [score for entry in summary.entries if (score := summary.score(entry))]
    heads = [f"published {words.SCORE}", layout.spread, f"ours, {words.SCORE}, mean over seeds"]
    heads += [words.spread_head(scores), words.INTERVAL, "seeds", "ours − published"]
    lead = (Column("row of the paper", left=True), Column("ours", left=True))
    return (*lead, *map(Column, heads), Column("verdict", left=True))


@dataclass(frozen=True)
class _Ours:
    """What stands beside a published row: our entry, if the run asked for one, and the verdict, if it has a score."""

    summary: Summary
    entry: Entry | None
    verdict: Verdict | None

    @property
    def score(self) -> Score | None:
        return self.summary.score(self.entry) if self.entry else None

    @property
    def name(self) -> str:
        return self.entry.name if self.entry else DASH

    def named(self) -> dict[str, str]:
        """Label and title for the CSV."""
        return named(self.entry) if self.entry else {"label": "", "title": ""}

    def because(self, row: LayoutRow) -> tuple[str, ...]:
        """What a reader must know of the verdict, or why there is none."""
        if self.verdict:
            return self.verdict.lines()
        if row.reason or self.entry is None:
            return (row.reason or f"The run did not ask for {row.label!r}",)
        return words.missing_notes(self.entry, self.summary.headline)


def _published_row(layout: Layout, row: LayoutRow, number: Number, ours: _Ours, notes: Footnotes) -> TableRow:
    marks = notes(*(layout.footnotes[key] for key in row.footnotes))
    compared = ours.verdict is not None and ours.verdict.compares
    gap = 100 * ours.score.seeds.mean - number.mean if ours.score and compared else None
    word, because = ours.verdict.word if ours.verdict else "no result", ours.because(row)
    cells = [Cell(row.row, notes=marks), Cell(ours.name), Cell(_decimal(number.mean))]
    cells += [
        Cell(DASH if number.spread != number.spread else f"± {number.spread:.1f}"),
        *score_cells(ours.score, notes),
    ]
    cells += [
        Cell(DASH if gap is None else words.gap(gap, scale=1)),
        Cell(word, notes=notes(*because)),
    ]
    data = {"row": row.row, "published": number.mean, "published_spread": number.spread}
    data |= {**ours.named(), **score_data(ours.score)}
    data |= {"difference": gap, "verdict": word, "because": " | ".join(because)}
    return TableRow(PUBLISHED, tuple(cells), data)


def _own_row(ours: _Ours, notes: Footnotes) -> TableRow:
    entry = ours.entry
    missing = words.missing_notes(entry, ours.summary.headline) if entry and ours.score is None else ()
    word = Cell("no result" if missing else "ours", notes=notes(*missing))
    cells = (Cell(), Cell(ours.name), Cell(), Cell(), *score_cells(ours.score, notes), Cell(), word)
    return TableRow(OURS, cells, {"row": "", **ours.named(), **score_data(ours.score)})


def _size_table(
    name: str, layout: Layout, numbers: Mapping[str, Number], corpus: PreparedCorpus, summary: Summary
) -> Table:
    """Printed class sizes, those of the corpus at hand, and the true ones where the corpus's reader kept them."""
    notes = Footnotes()
    notes(*(layout.footnotes[key] for key in layout.table_footnotes))
    sizes = {f"in {corpus.name}": _sizes_here(corpus, summary.setting.task)}
    if known := corpus.facts.get(layout.fact):
        sizes[f"{corpus.name}: {layout.fact_title}"] = {
            str(name): int(count) for name, count in known.items()
        }
    rows = []
    for row in layout.rows:
        marks = notes(*(layout.footnotes[key] for key in row.footnotes))
        counts = [table.get(row.label or "all") for table in sizes.values()]
        rows.append(_size_row(row.row, int(numbers[row.row].mean), counts, marks, not corpus.simulated))
    gaps = [] if corpus.simulated else ["printed − this"]
    heads = [head for name in sizes for head in (name, *gaps)]
    columns = (Column("class", left=True), Column("printed"), *map(Column, heads))
    whose = "the simulated cohort's" if corpus.simulated else "this corpus's"
    title = words.title(f"{layout.title}: records as printed, and {whose} own.", corpus.simulated)
    task, split, scale = summary.setting.task, words.split_of(summary.setting), summary.setting.scale
    caption = (
        f"Corpus {corpus.title}, task {task}, all parts of the split {split}; scale {scale}."
        f"{words.see_notes(len(layout.table_footnotes))}"
    )
    return Table(name, title, caption, columns, tuple(rows), tuple(notes.texts), context(summary))


def _sizes_here(corpus: PreparedCorpus, task: str) -> dict[str, int]:
    targets = corpus.targets(task)
    return {str(name): int(count) for name, count in targets.sum().items()} | {"all": len(targets)}


def _size_row(
    name: str, printed: int, counts: list[int | None], marks: tuple[int, ...], gaps: bool
) -> TableRow:
    """Printed size, then each of ours, followed by its difference from the printed one where `gaps` are shown."""
    cells = [Cell(name, notes=marks), Cell(f"{printed:,}")]
    data: dict[str, Any] = {"class": name, "printed": printed}
    for what, count in zip(("here", "true"), counts, strict=False):
        gap = None if count is None else printed - count
        cells.append(Cell(DASH if count is None else f"{count:,}"))
        cells += [Cell(words.count_gap(gap))] if gaps else []
        data |= {what: count, f"printed_minus_{what}": gap}
    return TableRow("", tuple(cells), data)


def _decimal(value: float) -> str:
    return DASH if value != value else f"{value:.1f}"
