"""A paper's tables with our numbers beside the published ones, a verdict for each, and our controls below."""

from collections.abc import Mapping
from typing import Any

from bench.data.corpus import PreparedCorpus
from bench.report import words
from bench.report.published import Layout, LayoutRow, Number, Verdict, judge, layouts, published
from bench.report.summary import Entry, Setting, Summary
from bench.report.table import DASH, Cell, Column, Footnotes, Table, TableRow
from bench.report.tables import context, score_data
from bench.run.plan import Plan, corpus_id
from bench.run.suite import Suite

PUBLISHED, OURS = "rows of the paper", "ours only: controls that the paper's table lacks"


def paper_tables(plan: Plan, summary: Summary, suite: Suite) -> list[Table]:
    """Every laid-out table of the paper whose suite this is; none for other suites."""
    tables = []
    for name, layout in layouts(suite.name).items():
        numbers = {n.row: n for n in published(suite.name) if n.table == name}
        if layout.kind == "scores":
            tables.append(_score_table(name, layout, numbers, plan, summary, suite))
        else:
            tables.append(_size_table(name, layout, numbers, corpus_of(plan, suite, summary.setting), summary))
    return tables


def corpus_of(plan: Plan, suite: Suite, setting: Setting) -> PreparedCorpus:
    """The prepared corpus of a setting."""
    prepared = [plan.corpora[corpus_id(suite, use)] for use in suite.corpora if use.task == setting.task]
    return next(corpus for corpus in prepared if corpus.name == setting.corpus)


def _score_table(
    name: str, layout: Layout, numbers: Mapping[str, Number], plan: Plan, summary: Summary, suite: Suite
) -> Table:
    notes = Footnotes()
    notes(*(layout.footnotes[key] for key in layout.table_footnotes))
    entries = {entry.label: entry for entry in summary.entries}
    corpus = corpus_of(plan, suite, summary.setting)
    rows = []
    for row in layout.rows:
        entry = entries.pop(row.label, None)
        verdict = judge(layout, row, _facts(plan, summary, corpus, entry)) if entry and entry.keys else None
        rows.append(_published_row(layout, row, numbers[row.row], summary, entry, verdict, notes))
    ours = sorted(entries.values(), key=lambda entry: [e.label for e in summary.entries].index(entry.label))
    rows += [_own_row(summary, entry, notes) for entry in ours]
    scores = [score for entry in summary.entries if (score := summary.score(entry))]
    heads = ("row of the paper", "ours", f"published {words.SCORE}", layout.spread)
    columns = [Column(head, left=place < 2) for place, head in enumerate(heads)]
    columns += [Column(f"ours, {words.SCORE}, mean over seeds"), Column(words.spread_head(scores))]
    columns += [Column("95 % interval over test patients"), Column("seeds"), Column("ours − published")]
    columns += [Column("verdict", left=True)]
    text = f"{words.caption(layout.title + ', published and ours.', summary, suite)} {_general(layout)}"
    return Table(name, text, tuple(columns), tuple(rows), tuple(notes.texts), context(summary))


def _general(layout: Layout) -> str:
    numbers = ", ".join(str(place) for place in range(1, len(layout.table_footnotes) + 1))
    return (
        "Published numbers are reported, not reproduced; the verdict says whether ours can be held against them."
        + (f" On the whole published table see notes {numbers}." if numbers else "")
    )


def _facts(plan: Plan, summary: Summary, corpus: PreparedCorpus, entry: Entry) -> dict[str, Any]:
    """What the conditions of a layout look at: the corpus, and the cells of one row."""
    score = summary.score(entry)
    return {
        "simulated": summary.setting.simulated,
        "scale": summary.setting.scale,
        "records": len(corpus.targets(summary.setting.task)),
        "seeds": score.seeds.n if score else 0,
        "corpus": {"name": corpus.name, "facts": corpus.facts},
        "fit": plan.jobs[entry.fit_keys[0]].cell.model_dump(mode="json"),
        "predict": plan.jobs[entry.keys[0]].cell.model_dump(mode="json"),
    }


def _published_row(
    layout: Layout,
    row: LayoutRow,
    number: Number,
    summary: Summary,
    entry: Entry | None,
    verdict: Verdict | None,
    notes: Footnotes,
) -> TableRow:
    marks = notes(*(layout.footnotes[key] for key in row.footnotes))
    printed = [Cell(_decimal(number.mean)), Cell(f"± {number.spread:.1f}" if number.spread == number.spread else DASH)]
    score = summary.score(entry) if entry else None
    data = {"row": row.row, "published": number.mean, "published_spread": number.spread}
    data |= {"ours": entry.label if entry else "", **score_data(score)}
    if score is None or verdict is None:
        reason = _reason(row, entry)
        cells = [Cell(row.row, notes=marks), Cell(entry.name if entry else DASH), *printed, *[Cell()] * 5]
        shown = Cell("no result", notes=notes(*reason))
        data |= {"difference": None, "verdict": "no result", "because": " | ".join(reason)}
        return TableRow(PUBLISHED, (*cells, shown), data)
    gap = 100 * score.seeds.mean - number.mean
    cells = [Cell(row.row, notes=marks), Cell(entry.name if entry else DASH), *printed]
    cells += _score_cells(score, notes) + [Cell(words.gap(gap, scale=1))]
    why = [*_joined("Not comparable", verdict.reasons), *_joined("Conditions that differ", verdict.differences)]
    data |= {"difference": gap, "verdict": verdict.word, "because": " | ".join(why)}
    return TableRow(PUBLISHED, (*cells, Cell(verdict.word, notes=notes(*why))), data)


def _joined(head: str, lines: tuple[str, ...]) -> list[str]:
    return [f"{head}: {'; '.join(lines)}"] if lines else []


def _reason(row: LayoutRow, entry: Entry | None) -> tuple[str, ...]:
    """Why a published row has no number of ours beside it."""
    if row.reason:
        return (row.reason,)
    if entry is None:
        return (f"The run did not ask for {row.label!r}",)
    return words.missing_notes(entry)


def _own_row(summary: Summary, entry: Entry, notes: Footnotes) -> TableRow:
    score = summary.score(entry)
    data = {"row": "", "ours": entry.label, **score_data(score)}
    lead = [Cell(), Cell(entry.name), Cell(), Cell()]
    if score is None:
        why = notes(*words.missing_notes(entry))
        return TableRow(OURS, (*lead, *[Cell()] * 5, Cell("no result", notes=why)), data)
    return TableRow(OURS, (*lead, *_score_cells(score, notes), Cell(), Cell("ours")), data)


def _score_cells(score: Any, notes: Footnotes) -> list[Cell]:
    return [
        Cell(words.points(score.seeds.mean), notes=notes(*words.seed_notes(score))),
        Cell(words.spread(score.seeds)),
        Cell(words.span(*score.interval)),
        Cell(str(score.seeds.n)),
    ]


def _size_table(
    name: str, layout: Layout, numbers: Mapping[str, Number], corpus: PreparedCorpus, summary: Summary
) -> Table:
    """Printed class sizes, those of the corpus at hand, and the true ones where the reader knows them."""
    notes = Footnotes()
    notes(*(layout.footnotes[key] for key in layout.table_footnotes))
    targets = corpus.targets(summary.setting.task)
    here = {str(cls): int(count) for cls, count in targets.sum().items()} | {"": len(targets)}
    known = corpus.facts.get(layout.fact) or {}
    true = {str(cls): int(count) for cls, count in known.items()}
    true |= {"": true.get("all", sum(true.values()))} if true else {}
    rows = []
    for row in layout.rows:
        marks = notes(*(layout.footnotes[key] for key in row.footnotes))
        sizes = [int(numbers[row.row].mean), here.get(row.label), *([true.get(row.label)] if true else [])]
        rows.append(_size_row(row.row, sizes, marks))
    return Table(name, _size_caption(layout, corpus, summary), _size_columns(corpus, bool(true)), tuple(rows),
                 tuple(notes.texts), context(summary))  # fmt: skip


def _size_row(name: str, sizes: list[int | None], marks: tuple[int, ...]) -> TableRow:
    """Printed size, then each of ours followed by its difference from the printed one."""
    printed = sizes[0] or 0
    cells, data = [Cell(name, notes=marks), Cell(f"{printed:,}")], {"class": name, "printed": printed}
    for what, count in zip(("here", "true"), sizes[1:], strict=False):
        gap = None if count is None else printed - count
        cells += [Cell(DASH if count is None else f"{count:,}"), Cell(DASH if gap is None else words.gap(gap, 1)[:-2])]
        data |= {what: count, f"printed_minus_{what}": gap}
    return TableRow("", tuple(cells), data)


def _size_columns(corpus: PreparedCorpus, true: bool) -> tuple[Column, ...]:
    sheet = f"by the paper's filters, from {corpus.name}'s Diagnostics.xlsx"
    heads = ["printed", f"in {corpus.name}", "printed − this", *([sheet, "printed − these"] if true else [])]
    return (Column("class", left=True), *map(Column, heads))


def _size_caption(layout: Layout, corpus: PreparedCorpus, summary: Summary) -> str:
    head = [words.SIMULATED] if corpus.simulated else []
    whose = "the simulated cohort's" if corpus.simulated else "this corpus's"
    return " ".join(
        [*head, f"{layout.title}: records a class as printed, and {whose} own.",
         f"Corpus {corpus.title}, task {summary.setting.task}; scale {summary.setting.scale}; all parts of the split."]
    )  # fmt: skip


def _decimal(value: float) -> str:
    return DASH if value != value else f"{value:.1f}"
