"""Where the spread over seeds comes from: the draw of the label subset, or the initialisation of the encoder.

Every seed's encoder is read out with every seed's label subset; the two-way table of scores tells the two apart.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bench.report import words
from bench.report.frame import HEADLINE
from bench.report.stats import Components, components
from bench.report.summary import Entry, Setting, Summary
from bench.report.table import DASH, Cell, Column, Table, TableRow
from bench.report.tables import board_rows, make_table, named
from bench.run.status import Status
from bench.run.suite import Suite

_PARTS = {"subset_sd": "label subset", "init_sd": "initialisation", "rest_sd": "both together"}

Rows = Mapping[Setting, pd.DataFrame]
"""Of the frame of crossed evaluations, by setting."""


def crossed_by_setting(frame: pd.DataFrame) -> dict[Setting, pd.DataFrame]:
    """Rows of `build_crossed_frame` by setting: test part, headline metric, own validation records, finished."""
    kept = frame[
        (frame["part"] == "test")
        & (frame["metric"] == HEADLINE)
        & (frame["selection"] == "subset")
        & (frame["status"] == Status.DONE.value)
    ]
    axes = list(Setting.__dataclass_fields__)
    groups = (rows for _, rows in kept.groupby(axes, sort=False))
    return {Setting(*(rows[axis].iloc[0] for axis in axes)): rows for rows in groups}


def spread_table(summary: Summary, crossed: pd.DataFrame, suite: Suite) -> Table | None:
    """SD over label subsets and over initialisations of each label-free row; None where no row has a whole table.

    Args:
        crossed: rows of this setting.
    """
    fractions = sorted({float(fraction) for fraction in crossed["fraction"]})
    parts = {
        (entry.key, fraction): components(scores)
        for entry in summary.entries
        for fraction in fractions
        if (scores := crossed_scores(summary, crossed, entry, fraction)) is not None
    }
    if not parts:
        return None

    def row(block: str, entry: Entry) -> TableRow:
        found = [parts.get((entry.key, fraction)) for fraction in fractions]
        cells = [Cell(words.points(getattr(one, name)) if one else DASH) for one in found for name in _PARTS]
        return TableRow(block, (Cell(entry.name), *cells), {**named(entry), **_data(fractions, found)})

    rows = tuple(row for row in board_rows(summary, row) if any(cell.text != DASH for cell in row.cells[1:]))
    heads = [f"{told}, at {words.percent(f)}" for f in fractions for told in _PARTS.values()]
    columns = (Column("strategy", left=True), *map(Column, heads))
    what = f"Where the spread over seeds comes from: SD of {words.SCORE} by its source."
    some = next(iter(parts.values()))
    more = (
        f"Each of {some.inits} encoders is read out with each of {some.subsets} label subsets (two-way random effects"
        " by the method of moments, negative estimates being 0; 'both together' is what neither explains alone)."
        f" From {some.inits * some.subsets} scores these are rough estimates."
    )
    return make_table("spread", what, summary, suite, columns, rows, more=more)


def crossed_scores(
    summary: Summary, crossed: pd.DataFrame, entry: Entry, fraction: float
) -> np.ndarray | None:
    """(inits, subsets) scores of a row at a label fraction; None unless every seed met every subset."""
    rows = summary.rows
    kept = (rows["part"] == "test") & (rows["metric"] == HEADLINE) & (rows["selection"] == "subset")
    both = pd.concat([rows[kept & (rows["status"] == Status.DONE.value)], crossed])
    own = both[
        (both["label"] == entry.label) & (both["source"] == entry.source) & (both["fraction"] == fraction)
    ]
    subset = own["crossed"].where(own["crossed"] >= 0, own["seed_index"])
    table = own.assign(subset=subset).pivot(index="seed_index", columns="subset", values="value")
    scores = table.to_numpy(float)
    whole = scores.ndim == 2 and min(scores.shape) > 1 and scores.shape[0] == scores.shape[1]
    return scores if whole and not np.isnan(scores).any() else None


def _data(fractions: list[float], found: list[Components | None]) -> dict[str, float | int | None]:
    data: dict[str, float | int | None] = {}
    for fraction, one in zip(fractions, found, strict=True):
        data |= {f"{name}@{fraction:g}": getattr(one, name) if one else None for name in _PARTS}
    some = next((one for one in found if one), None)
    return data | {"inits": some.inits if some else None, "subsets": some.subsets if some else None}
