"""Does a stored result hold exactly the records that were to be judged, with the labels that they have here?

Everything in a result but what a model said of a record follows from the corpus, the split and the cell's description:
which units there are and in what order, whose they are, and what they should have been taken for.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.evaluate.group import describe_units, value_names
from bench.evaluate.predict import Judged
from bench.evaluate.result import UNIT_PLACE, Result
from bench.run.cell import GroupCell, PredictCell
from bench.run.store import Payload
from bench.run.work import Job, open_corpus
from bench.train.prototypes import GROUPED, AttributeGrid

Piece = tuple[str, str]
"""Selection and part."""

_WHERE = ["part", "record", *UNIT_PLACE]


class ExpectedUnits:
    """What the results of a plan must hold; that of cells that judge alike is worked out once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], dict[Piece, pd.DataFrame]] = {}

    def fault(self, job: Job, files: Payload) -> str:
        """What is wrong with the units of a result; empty: nothing."""
        try:
            if isinstance(job.cell, PredictCell):
                return self._of_scores(job, job.cell, files)
            if isinstance(job.cell, GroupCell):
                return self._of_groups(job, job.cell, files)
        except (KeyError, ValueError, TypeError) as error:
            return f"it cannot be read as what it should be: {error}".splitlines()[0]
        return ""

    def _of_scores(self, job: Job, cell: PredictCell, files: Payload) -> str:
        table = Result.from_bytes("scores", files["scores.parquet"]).table
        expected = self._scores(job, cell)
        wanted = list(next(iter(expected.values())).columns)
        if list(table.columns) != wanted:
            return _columns(list(table.columns), wanted)
        found = {(str(s), str(p)): rows for (s, p), rows in table.groupby(["selection", "part"], sort=False)}
        for piece in sorted({*found} ^ {*expected}):
            return f"it {'lacks' if piece in expected else 'has'} the {piece[1]} part, selection {piece[0]!r}"
        said = [name for name in wanted if name.startswith("score:")]
        faults = (_unlike(found[piece], units, piece[1], said) for piece, units in expected.items())
        return next(filter(None, faults), "")

    def _scores(self, job: Job, cell: PredictCell) -> dict[Piece, pd.DataFrame]:
        """Score tables without the scores."""
        alone = cell.readout == "classifier"
        place = "scores", *_judged_alike(cell), alone, bool(cell.noise)
        if place not in self._known:
            judged = Judged(open_corpus(job.corpus), cell.task, job.rows, cell.input, cell.lead_set)
            units, classes = judged.units(), len(judged.corpus.tasks[cell.task].classes)
            self._known[place] = {}
            for part in ("test",) if cell.noise else ("val", "test"):
                own = units.at(np.flatnonzero(np.isin(units.record, getattr(job.rows, part))))
                blank = np.zeros((len(own), classes))
                for selection in ("subset",) if alone else ("subset", "all"):
                    self._known[place][selection, part] = judged.table(own, blank, part, selection)
        return self._known[place]

    def _of_groups(self, job: Job, cell: GroupCell, files: Payload) -> str:
        corpus = open_corpus(job.corpus)
        classes = corpus.tasks[cell.task].classes
        grid = AttributeGrid(classes=len(classes), edges=cell.edges)
        described = json.loads(files["grouping.json"])
        if described["values"] != value_names(grid, classes):
            return "the values of its attributes are others"
        stands = grid.sets().tolist() if cell.grouping == "means" else None
        if cell.grouping != "own" and (described["stands"], described["query_codes"]) != (stands, stands):
            return "its groups stand for other attribute sets"
        table = Result.from_bytes("assignments", files["assignments.parquet"]).table
        units, ids = self._groups(job, cell, grid), [f"id:{name}" for name in cell.attributes]
        if list(table.columns) != [*units.columns, *ids]:
            return _columns(list(table.columns), [*units.columns, *ids])
        fault = _unlike(table, units, "assigned", ids)
        if fault or "rankings.parquet" not in files:
            return fault or ("it has no rankings" if described["query_codes"] is not None else "")
        return _of_rankings(Result.from_bytes("rankings", files["rankings.parquet"]).table, units)

    def _groups(self, job: Job, cell: GroupCell, grid: AttributeGrid) -> pd.DataFrame:
        """An assignment table without the assignments."""
        place = "groups", *_judged_alike(cell), cell.subset.fingerprint, grid.edges
        if place not in self._known:
            corpus = open_corpus(job.corpus)
            units = describe_units(corpus, cell.task, job.rows, cell.input, cell.lead_set, grid)
            codes = {name: units.codes[:, k].numpy() for k, name in enumerate(GROUPED)}
            table = units.table.assign(**codes)
            self._known[place] = {("", ""): table[table["part"] != ""].reset_index(drop=True)}
        return self._known[place]["", ""]


def _judged_alike(cell: PredictCell | GroupCell) -> tuple[str, ...]:
    return cell.corpus, cell.split_fingerprint, cell.task, cell.lead_set, cell.input.model_dump_json()


def _columns(found: list[str], wanted: list[str]) -> str:
    strange, missing = sorted({*found} - {*wanted}), sorted({*wanted} - {*found})
    if not (strange or missing):
        return "its columns are in another order"
    return f"it has a column {strange[0]!r}" if strange else f"it has no column {missing[0]!r}"


def _unlike(found: pd.DataFrame, expected: pd.DataFrame, part: str, said: list[str]) -> str:
    """In what units and targets differ; columns `said` are the model's."""
    here, wanted = (table["record"].tolist() for table in (found, expected))
    if here != wanted:
        return _records(here, wanted, part)
    for column in (name for name in expected if name not in said):
        differs = _other(found[column], expected[column])
        if differs.any():
            at = int(np.flatnonzero(differs)[0])
            value, true = found[column].iloc[at], expected[column].iloc[at]
            more = f", and {int(differs.sum()) - 1:,} more" if differs.sum() > 1 else ""
            return (
                f"{part} record {here[at]!r} has {column} {value!s:.40}, the corpus says {true!s:.40}{more}"
            )
    return ""


def _other(found: pd.Series, expected: pd.Series) -> np.ndarray:
    """Where two columns differ; unknown equals unknown."""
    unknown = np.logical_and(found.isna().to_numpy(), expected.isna().to_numpy())
    differs = np.asarray(found.to_numpy(object) != expected.to_numpy(object), dtype=bool)
    return np.logical_and(differs, np.logical_not(unknown))


def _records(here: list[str], wanted: list[str], part: str) -> str:
    missing, strange = sorted({*wanted} - {*here}, key=str), sorted({*here} - {*wanted}, key=str)
    counted = f" ({len(missing):,} missing, {len(strange):,} strange)"
    if missing:
        return f"it lacks the {part} record {missing[0]!r}{counted}"
    if strange:
        return f"it holds {str(strange[0])!r:.40}, no {part} record{counted}"
    if len(here) != len(wanted):
        return f"it has {len(here):,} {part} units in place of {len(wanted):,}"
    return f"its {part} records are in another order"


def _of_rankings(table: pd.DataFrame, units: pd.DataFrame) -> str:
    """Every ranked unit is one of the units, with its own patient and values."""
    known = units.set_index(_WHERE)
    places = pd.MultiIndex.from_frame(table[_WHERE])
    strange = ~places.isin(known.index)
    if strange.any():
        return f"it ranks {table['record'].iloc[int(np.flatnonzero(strange)[0])]!r}, which is no unit of that part"
    own = known.loc[places]
    for column in ("patient", "source", *GROUPED):
        if _other(own[column], table[column]).any():
            return f"{column} of a ranked unit is another's"
    return ""


def agreement(cells: Mapping[str, Payload]) -> Iterator[str]:
    """Where results that judge the same part of the same split disagree about its units or targets.

    All that can be said without the corpus.

    Args:
        cells: files of predict cells by key.
    """
    first: dict[tuple[str, ...], tuple[str, pd.DataFrame]] = {}
    for key, files in cells.items():
        told = json.loads(files["cell.json"])
        table = Result.from_bytes("scores", files["scores.parquet"]).table
        for (selection, part), rows in table.groupby(["selection", "part"], sort=True):
            kept = [str(name) for name in rows if name != "selection"]
            said = [name for name in kept if name.startswith("score:")]
            judged = json.dumps(
                [told[name] for name in ("corpus", "split_fingerprint", "task", "lead_set", "input")]
            )
            other, units = first.setdefault((judged, str(part)), (key, rows[kept]))
            columns = list(units.columns) == kept
            fault = _unlike(rows[kept], units, str(part), said) if columns else "other columns"
            if fault:
                yield f"cells {key[:12]} and {other[:12]} differ, selection {selection!s:.20}: {fault}"
