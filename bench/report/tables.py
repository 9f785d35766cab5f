"""The board, and the same scores under both selections.

Only strategies are ranked. Controls and floors stand below them, then what was pre-trained elsewhere or saw the test
ECGs, and entries without any result below those.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from bench.report import words
from bench.report.board_groups import group_columns, with_groups
from bench.report.frame import HEADLINE
from bench.report.group_summary import AnySummary, GroupEntry, GroupSummary
from bench.report.stats import Difference, can_separate, rank_intervals, ranks, tie_groups
from bench.report.summary import Entry, Score, Summary
from bench.report.table import DASH, Cell, Column, Footnotes, Table, TableRow
from bench.run.suite import Suite

STRATEGIES, CONTROLS, NOTHING = "strategies", "controls and floors (not ranked)", "no result"
TRANSFERS = "pre-trained on another corpus (not ranked)"
LEAKS = "saw test ECGs in pre-training (not ranked)"

EXTERNAL = "external"
"""The encoder of a row whose network is a checkpoint from outside."""

BLOCKS = {STRATEGIES: "strategy", CONTROLS: "baseline", TRANSFERS: "transfer", LEAKS: "overlap"}
"""Blocks of a table in their order, with the origin of their rows."""

_ALL_VALIDATION = "selected on all validation labels"

_ALONE = "Only one ranked row: there is nothing to rank it against"

Place = tuple[float, str]
"""A label fraction and a selection."""

Key = tuple[str, str]
"""Label and source of an entry."""


@dataclass(frozen=True)
class Standing:
    """Where a strategy stands at one label fraction: rank, its 95 % interval, tie group from 0.

    Attributes:
        groups: tie groups that there are; of one alone nothing is told apart.
    """

    rank: int
    low: int
    high: int
    group: int
    groups: int = 2


def standings(summary: Summary, fraction: float, selection: str = "subset") -> dict[Key, Standing]:
    """Standing of every strategy with a score, by its key; none where one alone has a score."""
    scored = [(e, summary.score(e, fraction, selection)) for e in summary.entries if e.origin == "strategy"]
    present = [(entry, score) for entry, score in scored if score]
    if len(present) < 2:
        return {}
    means = [score.seeds.mean for _, score in present]
    draws = np.stack([score.draws.mean(axis=0) for _, score in present])
    ties = tie_groups(means, draws)
    columns, groups = zip(ranks(means), rank_intervals(draws), ties, strict=True), len(set(ties))
    return {
        entry.key: Standing(int(rank), int(low), int(high), int(group), groups)
        for (entry, _), (rank, (low, high), group) in zip(present, columns, strict=True)
    }


def context(summary: AnySummary) -> dict[str, Any]:
    """What stands in every row of a CSV, so that none of its numbers can be taken for another corpus's."""
    setting = summary.setting
    names = (
        "suite",
        "scale",
        "corpus",
        "simulated",
        "task",
        "split",
        "protocol",
        "encoder",
        "lead_set",
        "eval_lead_set",
    )
    return {name: getattr(setting, name) for name in names}


def board(summary: Summary, suite: Suite, resamples: int, groups: GroupSummary | None = None) -> Table:
    """Every strategy at every label fraction, with rank, uncertainty, supervision and cost.

    Args:
        groups: of the same setting; its headline numbers are the last columns.
    """
    notes = Footnotes()
    second = _second_selection(summary)
    places = [(fraction, "subset") for fraction in summary.fractions[:-1]] + (
        [(second, "all")] if second else []
    )
    at = {place: standings(summary, *place) for place in [(summary.headline, "subset"), *places]}
    grouped = group_columns(groups)
    rows = tuple(
        with_groups(_board_row(summary, entry, block, places, at, notes), _grouped_as(entry), grouped, groups)
        for block, entries in _blocks(summary)
        for entry in entries
    )
    what = f"{suite.title}: {words.macro(summary)} on the test part."
    more = " ".join([_explained(summary, suite, resamples), *(one.explained(groups) for one in grouped)])
    columns = (*_board_columns(summary, places, notes), *(one.column for one in grouped))
    return make_table("board", what, summary, suite, columns, rows, notes, more)


def _grouped_as(entry: Entry) -> str:
    """Label of the groupings of an entry's embeddings; none of those from another corpus."""
    return "" if entry.source else entry.label


def _board_columns(summary: Summary, places: Sequence[Place], notes: Footnotes) -> tuple[Column, ...]:
    scores = [score for entry in summary.entries if (score := summary.score(entry))]
    lead = [f"{words.score_head(summary)} at {words.percent(summary.headline)} labels, mean over seeds"]
    lead += [words.spread_head(scores), words.INTERVAL, f"rank ({words.INTERVAL})", "tie group"]
    ledger = (Column("paid for in training", left=True), Column("needs at test", left=True))
    heads = [f"at {words.percent(f)}" + (f", {_ALL_VALIDATION}" if s == "all" else "") for f, s in places]
    others = (_place_column(head, summary, p, notes) for head, p in zip(heads, places, strict=True))
    return (Column("strategy", left=True), *map(Column, lead), *ledger, *others)


def _place_column(head: str, summary: Summary, place: Place, notes: Footnotes) -> Column:
    """A column of scores; where all are missing its head says why."""
    if any(place in entry.scores for entry in summary.entries):
        return Column(head)
    reasons = [line for entry in summary.entries for line in words.missing_notes(entry, place[0])]
    return Column(head, notes=notes(*reasons))


def _board_row(
    summary: Summary,
    entry: Entry,
    block: str,
    places: Sequence[Place],
    at: dict[Place, dict[Key, Standing]],
    notes: Footnotes,
) -> TableRow:
    standing = at[summary.headline, "subset"].get(entry.key)
    cells = [Cell(entry.name), *_headline_cells(summary, entry, standing, notes)]
    cells.append(_rank_cell(summary, entry, standing, notes))
    cells.append(Cell(_letter(standing.group) if standing else DASH))
    cells += [Cell(words.paid_for(entry.paid_for)), Cell(words.paid_for(entry.needs_at_test))]
    for place in places:
        cells.append(score_cell(summary.score(entry, *place), notes, at[place].get(entry.key)))
    return TableRow(block, tuple(cells), _board_data(summary, entry, standing))


def _rank_cell(summary: Summary, entry: Entry, standing: Standing | None, notes: Footnotes) -> Cell:
    """A rank with its interval; a dash where there is nothing to rank."""
    if standing:
        return Cell(f"{standing.rank} ({standing.low}–{standing.high})")
    alone = entry.origin == "strategy" and summary.score(entry) is not None
    return Cell(notes=notes(_ALONE if alone else ""))


def _headline_cells(
    summary: Summary, entry: Entry, standing: Standing | None, notes: Footnotes
) -> list[Cell]:
    """Mean, spread over seeds, interval over patients; or why there is none."""
    score = summary.score(entry)
    if score is None:
        return [nothing_cell(words.missing_notes(entry, summary.headline), notes), Cell(), Cell()]
    shown = (words.spread(score.seeds), words.span(*score.interval))
    return [score_cell(score, notes, standing), *map(Cell, shown)]


def nothing_cell(reasons: Sequence[str], notes: Footnotes) -> Cell:
    """What became of a number that is not there, the reasons in footnotes; a dash where nobody asked for it."""
    return Cell(reasons[0].partition(":")[0] if reasons else DASH, notes=notes(*reasons))


def score_cell(score: Score | None, notes: Footnotes, standing: Standing | None = None) -> Cell:
    """A mean over seeds, with what a reader must know of it."""
    if score is None:
        return Cell()
    emphasis: Literal["", "best", "second"] = ""
    if standing and standing.groups > 1:
        emphasis = "best" if standing.rank == 1 else "second" if standing.rank == 2 else ""
    dagger = standing is not None and standing.group == 0 and standing.rank > 1
    return Cell(words.points(score.seeds.mean), emphasis, dagger, notes(*words.seed_notes(score)))


def _board_data(summary: Summary, entry: Entry, standing: Standing | None) -> dict[str, Any]:
    data: dict[str, Any] = {**named(entry), "origin": entry.origin}
    data |= {"paid_for": " ".join(entry.paid_for), "needs_at_test": " ".join(entry.needs_at_test)}
    place = (standing.rank, standing.low, standing.high, _letter(standing.group)) if standing else (None,) * 4
    data |= dict(zip(("rank", "rank_low", "rank_high", "tie_group"), place, strict=True))
    data |= score_data(summary.score(entry))
    data |= _means(summary, entry, [(f, s) for f in summary.fractions for s in ("subset", "all")])
    return data | entry.cost | {"no_result": " | ".join(words.missing_notes(entry, summary.headline))}


def named(entry: Entry | GroupEntry) -> dict[str, Any]:
    """How every CSV names a row: the label that the command line takes, and the title that tables print.

    Where it has another encoder than the setting, was pre-trained on another corpus, or saw test ECGs, that too.
    """
    who: dict[str, Any] = {"label": entry.label, "title": entry.name}
    if isinstance(entry, Entry):
        who |= {"own_encoder": entry.own_encoder} if entry.own_encoder else {}
        who |= {"source": entry.source} if entry.source else {}
        who |= {"overlap": True} if entry.overlap else {}
    return who


def score_data(score: Score | None, metric: str = HEADLINE) -> dict[str, Any]:
    """A score for the CSV, in the metric's own unit."""
    names = (metric, "seeds", "seed_sd", "seed_low", "seed_high", "low", "high")
    if score is None:
        return dict.fromkeys(names)
    seeds = score.seeds
    return dict(
        zip(names, (seeds.mean, seeds.n, seeds.sd, seeds.low, seeds.high, *score.interval), strict=True)
    )


def difference_data(name: str, test: Difference | None) -> dict[str, float | None]:
    """A difference for the CSV."""
    found = (test.value, test.low, test.high, test.p) if test else (None,) * 4
    return dict(zip((name, f"{name}_low", f"{name}_high", f"{name}_p"), found, strict=True))


def _means(summary: Summary, entry: Entry, places: Sequence[Place]) -> dict[str, float | None]:
    scores = {place: summary.score(entry, *place) for place in places}
    return {f"{HEADLINE}@{f:g}/{s}": score.seeds.mean if score else None for (f, s), score in scores.items()}


def _letter(group: int) -> str:
    return chr(ord("a") + group) if group < 26 else str(group + 1)


def _chosen(suite: Suite) -> str:
    """Whose validation records chose."""
    if suite.fractions_by != "patients":
        return (
            "Everything was chosen on the whole validation part, at every label fraction, by as many steps."
        )
    return (
        "Everything was chosen on the label fraction's own validation records unless a column says otherwise."
    )


def _explained(summary: Summary, suite: Suite, resamples: int) -> str:
    text = (
        f"Ranks order the means; intervals, tie groups and daggers: {resamples:,} bootstrap resamples of the test"
        " patients, shared by all rows, of the mean over seeds; the spread over seeds stands apart."
        f"{words.for_these_encoders(suite.seeds)} Bold: best strategy, underlined: second;"
        " † not separable from the best (paired bootstrap, Holm-corrected, and a gap beyond the largest that any two"
        " rows reach by chance). A tie group holds what cannot be told from its best; rank intervals hold for all rows"
        f" together. {_chosen(suite)} Paid for: what training reads beside the signal; the probe's labels are"
        " not counted."
    )
    text += _pretrained_elsewhere(summary)
    if can_separate(len(summary.ranked("strategy")), resamples):
        return text
    return f"{text} {resamples:,} resamples are too few to separate so many strategies."


def _pretrained_elsewhere(summary: Summary) -> str:
    """What rows that are not ranked for their pre-training have seen."""
    text = ""
    if summary.sources:
        text += (
            " Rows from another corpus: pre-trained there, read out or trained further here; no patient of the"
            " validation and test parts was in that pre-training."
        )
    if any(entry.overlap and entry.own_encoder != EXTERNAL for entry in summary.entries):
        text += (
            " Rows that saw test ECGs: pre-trained on every signal of the corpus, validation and test too; no"
            " labels."
        )
    if any(entry.own_encoder == EXTERNAL for entry in summary.entries):
        text += (
            " Checkpoints from outside: trained by others, with networks, data and budgets of their own; what they have"
            " seen is what their adapters declare."
        )
    return text


def _second_selection(summary: Summary) -> float | None:
    """The smallest label fraction below the headline at which anything was selected on all validation labels."""
    if "patients" not in summary.fractions_by:
        return None  # all validation records chose already
    have = {fraction for entry in summary.entries for fraction, chosen in entry.scores if chosen == "all"}
    return min(have - {summary.headline}, default=None)


def _blocks(summary: Summary) -> list[tuple[str, list[Entry]]]:
    scored = [(block, summary.ranked(origin)) for block, origin in BLOCKS.items()]
    return [*scored, (NOTHING, summary.unscored())]


def board_rows(summary: Summary, make: Callable[[str, Entry], TableRow]) -> tuple[TableRow, ...]:
    """A row for every entry with a headline score, in the board's order."""
    return tuple(make(block, entry) for block, entries in _blocks(summary)[:-1] for entry in entries)


def make_table(
    name: str,
    what: str,
    summary: AnySummary,
    suite: Suite,
    columns: tuple[Column, ...],
    rows: tuple[TableRow, ...],
    notes: Footnotes | None = None,
    more: str = "",
) -> Table:
    """A table of one setting: its conditions are in the caption, and in every row of its CSV.

    The caption's inputs, encoders and budgets are those of the entries that the data of rows names as 'label', 'base'
    or 'minus'.
    """
    told = notes or Footnotes()
    if isinstance(summary, Summary):
        rows = tuple(_with_lost_seeds(summary, row, told) for row in rows)
    title = words.title(what, summary.setting.simulated)
    named_as = (str(row.data.get(name, "")) for row in rows for name in ("label", "base", "minus"))
    labels = {label for text in named_as for label in text.replace(" / ", " ").split()}
    caption = " ".join(filter(None, [words.conditions(summary, suite, labels), more]))
    more_fields = [name for name in ("own_encoder", "source", "overlap") if any(name in r.data for r in rows)]
    fields = ("label", "title", *more_fields) if more_fields else ()
    return Table(name, title, caption, columns, rows, tuple(told.texts), context(summary), fields)


def _with_lost_seeds(summary: Summary, row: TableRow, notes: Footnotes) -> TableRow:
    """A row that says, wherever it stands, that some of its seeds are missing."""
    entry = summary.entry(str(row.data.get("label", "")), str(row.data.get("source", "")))
    score = summary.score(entry) if entry else None
    lost = words.lost_seeds(score.seeds, score.wanted) if score else ()
    if not lost or not row.cells:
        return row
    numbers = notes(*lost)
    if any(set(numbers) <= set(cell.notes) for cell in row.cells):
        return row
    first = replace(row.cells[0], notes=tuple(sorted({*row.cells[0].notes, *numbers})))
    return replace(row, cells=(first, *row.cells[1:]))


def selection(summary: Summary, suite: Suite) -> Table:
    """Both selections side by side at every label fraction: what a small validation part costs."""
    notes = Footnotes()
    places = [(f, s) for f in summary.fractions for s in ("subset", "all")]

    def row(block: str, entry: Entry) -> TableRow:
        cells = [score_cell(summary.score(entry, *place), notes) for place in places]
        data = {**named(entry), **_means(summary, entry, places)}
        return TableRow(block, (Cell(entry.name), *cells), data)

    rows = board_rows(summary, row)
    heads = [f"{words.percent(f)}, {'all validation labels' if s == 'all' else 'its own'}" for f, s in places]
    scores = (_place_column(head, summary, p, notes) for head, p in zip(heads, places, strict=True))
    columns = (Column("strategy", left=True), *scores)
    what = f"Selection on the fraction's own validation records, or on all of them: {words.SCORE}, mean over seeds."
    more = "A classifier is selected within its fit, on the fraction's own records only."
    return make_table("selection", what, summary, suite, columns, rows, notes, more)
