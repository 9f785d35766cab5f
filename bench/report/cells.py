"""The frames as CSV: every cell that a suite asks for, with its metrics as columns."""

import re
from collections.abc import Sequence

import pandas as pd

from bench.report import frame, group_summary

_SETTING = (
    "suite", "scale", "corpus", "simulated", "task", "split", "protocol", "encoder", "lead_set", "eval_lead_set",
)  # fmt: skip
_ENTRY = ("label", "strategy_title", "strategy", "recipe", "origin", "fraction", "seed_index", "own_encoder")
_OUTCOME = ("status", "reason", *frame.COST_COLUMNS, "key")
_SCORED = (*_SETTING, *_ENTRY, "fractions_by", "source", "overlap")
_CELL = (*_SCORED, "selection", "part", "n", "records", "kept", "total", *_OUTCOME)
_GROUP = (*_SETTING, *_ENTRY, "grouping", "part", "attribute", "n", "records", "clusters", *_OUTCOME)
_COUNTED = ("n", "kept", "total", "records", "clusters", "kept_classes_10")
_COUNTS = (*_COUNTED, "steps", "views", "lead_samples", "flops", "parameters")


def cells_csv(rows: pd.DataFrame) -> str:
    """Every cell, selection and part with its metrics over all classes, one a line."""
    return _scores_csv(rows, _CELL)


def noise_csv(rows: pd.DataFrame) -> str:
    """Every cell of noisy windows, as in `cells_csv`, with the level of the noise."""
    return _scores_csv(rows, (*_SCORED, "noise", *_CELL[len(_SCORED) :]))


def crossed_csv(rows: pd.DataFrame) -> str:
    """Every cell with the label subset of another seed, as in `cells_csv`, with that seed's index."""
    return _scores_csv(rows, (*_SCORED, "crossed", *_CELL[len(_SCORED) :]))


def _scores_csv(rows: pd.DataFrame, columns: Sequence[str]) -> str:
    shown = rows[~rows["metric"].str.contains("/", regex=False)].reset_index(drop=True)
    starts = (shown["metric"] == frame.HEADLINE).cumsum()  # the first metric of a cell, selection and part
    lines = shown[shown["metric"] == frame.HEADLINE].set_axis(starts.unique())
    return _wide(shown, starts, lines[[*columns]], lines[["low", "high"]], frame.HEADLINE)


def groups_csv(rows: pd.DataFrame) -> str:
    """Every grouping, part and attribute ('set': retrieval) with its metrics, one a line."""
    axes = [*_SETTING, "label", "fraction", "seed_index", "grouping", "part", "attribute"]
    places = rows.groupby(axes, sort=False).ngroup()
    first = rows.assign(place=places).drop_duplicates("place").set_index("place")
    headline = rows["metric"] == group_summary.HEADLINE
    spans = rows[headline].set_axis(places[headline])[["low", "high"]].reindex(first.index)
    return _wide(rows, places, first[[*_GROUP]], spans, group_summary.HEADLINE)


def _wide(
    rows: pd.DataFrame, places: pd.Series, lines: pd.DataFrame, spans: pd.DataFrame, headline: str
) -> str:
    """Lines, the headline metric with its interval, the other metrics by name.

    Args:
        rows: one a metric; places: which line each belongs to.
        lines, spans: by place.
    """
    values = rows.assign(place=places).pivot(index="place", columns="metric", values="value")
    values = values.reindex(columns=[headline, *sorted(set(values.columns) - {headline}, key=_by_number)])
    described = lines.rename(columns={"strategy_title": "title"})
    table = pd.concat([described, values[[headline]], spans, values.drop(columns=headline)], axis=1)
    counts = {name: "Int64" for name in _COUNTS if name in table}
    return str(table.round(6).astype(counts).to_csv(index=False, lineterminator="\n"))


def _by_number(name: str) -> list[tuple[int, str]]:
    """Orders names by the numbers in them: 'precision_at_5' before 'precision_at_10'."""
    pieces = re.split(r"(\d+)", name)
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in pieces]
