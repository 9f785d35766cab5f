"""Typed results: one row an evaluated unit. Metrics are views of them and live elsewhere."""

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

Kind = Literal["scores", "assignments", "rankings"]

UNIT_COLUMNS = ("part", "record", "patient", "source")

UNIT_PLACE = ("start", "lead")
"""Further columns where a unit is not a record but one of its windows (and leads): first sample, lead ('' all)."""

_REQUIRED: dict[Kind, tuple[str, ...]] = {
    "scores": ("selection",),
    "assignments": ("class", "sex", "age"),
    "rankings": ("query", "rank", "distance"),
}


@dataclass(frozen=True)
class Result:
    """Stored rows of one evaluation.

    Attributes:
        kind: 'scores' (a target and a score a class), 'assignments' (a group a unit), 'rankings' (a rank a
            query and unit).
        table: `UNIT_COLUMNS` first (and `UNIT_PLACE` where windows are scored), then the kind's own columns.
            Scores have `selection` ('subset': everything was chosen on the label fraction's validation records;
            'all': on all of them), then a column `target:<class>` and a column `score:<class>` for every class.
    """

    kind: Kind
    table: pd.DataFrame

    def __post_init__(self) -> None:
        missing = [c for c in (*UNIT_COLUMNS, *_REQUIRED[self.kind]) if c not in self.table]
        if missing:
            raise ValueError(f"a result of kind {self.kind!r} needs the column {missing[0]!r}")
        values = self.table.select_dtypes(np.floating).to_numpy()
        if not np.isfinite(values).all():
            raise ValueError("a result holds a score that is not finite")

    def to_bytes(self) -> bytes:
        """As parquet; equal results give equal bytes."""
        buffer = io.BytesIO()
        self.table.to_parquet(buffer, index=False, compression="zstd")
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, kind: Kind, data: bytes) -> "Result":
        """Inverse of `to_bytes`."""
        return cls(kind, pd.read_parquet(io.BytesIO(data)))


def score_rows(
    units: pd.DataFrame, classes: tuple[str, ...], targets: np.ndarray, scores: np.ndarray, selection: str
) -> pd.DataFrame:
    """Rows of a score result.

    Args:
        units: `UNIT_COLUMNS`, one row a record.
        targets, scores: (n, K) multi-hot int8 and probabilities.
    """
    if not len(units) == len(targets) == len(scores):
        raise ValueError(f"{len(units)} units, {len(targets)} targets and {len(scores)} scores do not match")
    columns = {f"target:{name}": targets[:, k].astype(np.int8) for k, name in enumerate(classes)}
    columns |= {f"score:{name}": scores[:, k].astype(np.float32) for k, name in enumerate(classes)}
    table = units.reset_index(drop=True).assign(selection=selection)
    return pd.concat([table, pd.DataFrame(columns)], axis=1)


def targets_and_scores(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """(n, K) targets, (n, K) scores and the class names of score rows."""
    classes = tuple(c.removeprefix("target:") for c in table.columns if c.startswith("target:"))
    targets = table[[f"target:{name}" for name in classes]].to_numpy()
    return targets, table[[f"score:{name}" for name in classes]].to_numpy(), classes
