"""The table of scores by sex and age band, with each row's gap between the sexes and its widest one between bands.

A gap says that a row ranks the records of one group better than those of another. Groups differ in how hard their
records are, too: what a method adds to that shows between rows, not within one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from bench.report import words
from bench.report.stats import LEVEL, Difference, holm, over_seeds
from bench.report.subgroup_views import FAMILIES, SHARED, SubgroupViews
from bench.report.summary import Entry, Score, Summary
from bench.report.table import Cell, Column, Footnotes, Table, TableRow
from bench.report.tables import Key, board_rows, difference_data, make_table, named
from bench.run.suite import Suite

_NAMES = {"<40": "age_below_40", "40–59": "age_40_59", "60–74": "age_60_74", "≥75": "age_75_up"}  # in a CSV

_GAPS = {"sex": "female − male", "age": "age: worst − best band"}

_LEFT_OUT = "{kept} of {total} classes: the others lack a positive or a negative record in this group"

FEW = 5
"""Positives, or negatives, of a class in a group below which its head says so."""

_RARE = "A class has only {fewest} positive or negative here, and drops out of resamples without any"

_LONE = "Fewer than two groups have a number"
_NONE_SHARED = "No class can be scored in all groups"


@dataclass(frozen=True)
class Gap:
    """A difference between two groups of one row, and which they are: 'female − male', '≥75 − <40'."""

    test: Difference
    between: str


def widest_gap(points: Sequence[float], draws: np.ndarray, level: float = LEVEL) -> Difference:
    """Worst group minus best, with an interval and a p-value that allow for these two being picked for their gap.

    Chance is the largest gap of any two groups around its mean over resamples, each gap divided by its standard
    deviation (Romano and Wolf, JASA 100, 2005, single step): an interval for all pairs at once. A plain paired test of
    the worst and the best of four equal groups finds a difference in every fifth cohort.

    Args:
        points: (G,) score of each group, at least two.
        draws: (G, B) of each group; groups drawn independently. Columns with NaN are left out.
    """
    worst, best = int(np.argmin(points)), int(np.argmax(points))
    value = float(points[worst] - points[best])
    kept = draws[:, ~np.isnan(draws).any(axis=0)]
    if not kept.size:
        return Difference(value, float("nan"), float("nan"), 1.0)
    gaps = np.stack([kept[i] - kept[j] for i, j in combinations(range(len(kept)), 2)])
    sd = gaps.std(axis=1, keepdims=True)
    chance = (np.abs(gaps - gaps.mean(axis=1, keepdims=True)) / np.where(sd > 0, sd, 1.0)).max(axis=0)
    own = float((kept[worst] - kept[best]).std())
    far = abs(value) / own if own else float("inf") if value else 0.0
    reach = float(np.quantile(chance, level)) * own
    p = (1 + int((chance >= far).sum())) / (len(chance) + 1)
    return Difference(value, value - reach, value + reach, p)


def subgroup_table(summary: Summary, suite: Suite, views: SubgroupViews) -> Table | None:
    """Every row's score by sex and age band at the headline fraction, and its gaps.

    None where no group has a number, for want of patients or of what is known of them.
    """
    scored = {entry.key: (entry, score) for entry in summary.entries if (score := summary.score(entry))}
    if not scored:
        return None
    about = views.metrics(next(iter(scored.values()))[1].keys[0])
    judged = [name for one in about.values() for name, group in one["groups"].items() if not group["reason"]]
    if not judged:
        return None
    notes = Footnotes()
    groups = {key: _by_group(score, judged, views) for key, (_, score) in scored.items()}
    gaps = {family: _gaps(family, about, scored, views) for family in FAMILIES}
    corrected = {family: _holm(found) for family, found in gaps.items()}

    def row(block: str, entry: Entry) -> TableRow:
        cells, data = [Cell(entry.name), Cell(words.points(scored[entry.key][1].seeds.mean))], named(entry)
        for family, one in about.items():
            for name in one["groups"]:
                cells.append(_score_cell(groups[entry.key].get(name)))
                data |= _score_data(name, one["groups"][name], groups[entry.key].get(name), views)
            gap, p = gaps[family].get(entry.key), corrected[family].get(entry.key)
            cells += _gap_cells(family, gap, p)
            data |= _gap_data(family, gap, p)
        return TableRow(block, tuple(cells), data)

    what = f"Scores by sex and age band: macro one-vs-rest {words.SCORE} on the test part, mean over seeds."
    rows = board_rows(summary, row)
    more = _explained(summary, suite, about, views.resamples)
    return make_table("subgroups", what, summary, suite, _columns(about, notes), rows, notes, more)


def _by_group(score: Score, names: Iterable[str], views: SubgroupViews, ending: str = "") -> dict[str, Score]:
    """A row's score in each group, over the same seeds."""
    scores = {}
    for name in names:
        values = [views.group(key, name)["macro_auroc" + ending] for key in score.keys]
        scores[name] = replace(score, seeds=over_seeds(values), selection=name + ending, views=views)
    return scores


def _gaps(
    family: str,
    about: Mapping[str, Any],
    scored: Mapping[Key, tuple[Entry, Score]],
    views: SubgroupViews,
) -> dict[Key, Gap]:
    """The gap of every row that does not give all records one score; none where groups cannot be compared."""
    if _uncompared(about[family]):
        return {}
    names = [name for name, group in about[family]["groups"].items() if not group["reason"]]
    make: Callable[[dict[str, Score]], Gap] = _between_two if family == "sex" else _between_many
    return {
        key: make(_by_group(score, names, views, SHARED))
        for key, (_, score) in scored.items()
        if not score.constant
    }


def _uncompared(family: Mapping[str, Any]) -> str:
    """Why a family has no gaps; empty where it has."""
    judged = [group for group in family["groups"].values() if not group["reason"]]
    if len(judged) < 2:
        return _LONE
    return "" if family["shared"] else _NONE_SHARED


def _between_two(groups: dict[str, Score]) -> Gap:
    first, second = groups
    return Gap(groups[first].minus(groups[second]), f"{first} − {second}")


def _between_many(groups: dict[str, Score]) -> Gap:
    points = [score.seeds.mean for score in groups.values()]
    draws = np.stack([score.draws.mean(axis=0) for score in groups.values()])
    names = list(groups)
    between = f"{names[int(np.argmin(points))]} − {names[int(np.argmax(points))]}"
    return Gap(widest_gap(points, draws), between)


def _holm(gaps: Mapping[Key, Gap]) -> dict[Key, float]:
    corrected = holm([gap.test.p for gap in gaps.values()])
    return {key: float(p) for key, p in zip(gaps, corrected, strict=True)}


def _columns(about: Mapping[str, Any], notes: Footnotes) -> tuple[Column, ...]:
    columns = [Column("strategy", left=True), Column("all")]
    for family, one in about.items():
        for name, group in one["groups"].items():
            head = f"{name}{' years' * (family == 'age')}, {words.counted(group['records'], 'record')}"
            columns.append(Column(head, notes=notes(_told(group))))
        columns.append(Column(_GAPS[family], notes=notes(_uncompared(one))))
        columns.append(Column("p (Holm)"))
    return tuple(columns)


def _told(group: Mapping[str, Any]) -> str:
    """What a reader must know of a group."""
    if group["reason"]:
        return f"No number: {group['reason']}"
    told = [_LEFT_OUT.format(**group)] * (group["kept"] < group["total"])
    if group["fewest"] < FEW:
        told.append(_RARE.format(**group))
    return ". ".join(told)


def _score_cell(score: Score | None) -> Cell:
    if score is None:
        return Cell()
    return Cell(f"{words.points(score.seeds.mean)} ({words.span(*score.interval)})")


def _gap_cells(family: str, gap: Gap | None, p: float | None) -> list[Cell]:
    if gap is None or p is None:
        return [Cell(), Cell()]
    which = f", {gap.between}" if family == "age" else ""
    return [Cell(f"{words.with_span(gap.test)}{which}"), Cell(f"{p:.3f}")]


def _score_data(
    name: str, group: Mapping[str, Any], score: Score | None, views: SubgroupViews
) -> dict[str, Any]:
    """A group's numbers for the CSV."""
    ident = _NAMES.get(name, name)
    data: dict[str, Any] = {f"{ident}_records": group["records"], f"{ident}_patients": group["patients"]}
    values: tuple[float | None, ...] = (None,) * 4
    if score:
        errors = [views.group(key, name)["brier"] for key in score.keys]
        values = (score.seeds.mean, *score.interval, over_seeds(errors).mean)
    measured = ("macro_auroc", "low", "high", "brier")
    return data | {f"{ident}_{what}": value for what, value in zip(measured, values, strict=True)}


def _gap_data(family: str, gap: Gap | None, p: float | None) -> dict[str, Any]:
    name = {"sex": "female_minus_male", "age": "age_worst_minus_best"}[family]
    data = {**difference_data(name, gap.test if gap else None), f"{name}_p_holm": p}
    return data | ({"age_worst_and_best": gap.between if gap else None} if family == "age" else {})


def _explained(summary: Summary, suite: Suite, about: Mapping[str, Any], resamples: int) -> str:
    return (
        f"At {words.percent(summary.headline)} labels; all: every test record. In brackets: {words.INTERVAL} of the"
        f" group ({resamples:,} bootstrap resamples); ages are those at the recording.{_unknown(about)} Gaps: each"
        " group is resampled by itself, no patient being in two but one recorded in two bands; interval and p of the"
        " widest gap between bands allow for its being picked; p two-sided, Holm-corrected over the rows of a column."
        f"{words.for_these_encoders(suite.seeds)}{_of_fewer_classes(about)} Groups differ in how hard their records"
        " are: hold a gap against those of other rows."
    )


def _unknown(about: Mapping[str, Any]) -> str:
    """Records that are in no group."""
    told = [
        f"{name} of {words.counted(one['unknown'], 'record')}"
        for name, one in about.items()
        if one["unknown"]
    ]
    return f" Left out: unknown {' and '.join(told)}." if told else ""


def _of_fewer_classes(about: Mapping[str, Any]) -> str:
    """Said where gaps are not of the numbers beside them."""
    compared = [one for one in about.values() if not _uncompared(one)]
    kept = [(group.get("kept", 0), one["shared"]) for one in compared for group in one["groups"].values()]
    if all(own <= shared for own, shared in kept):
        return ""
    return " Gaps are of the classes that all groups compared can score, so not of the numbers beside them."
