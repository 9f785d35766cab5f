"""Metrics of finished cells as cached views in the store: computed once a (cell, metric version), then only read.

All cells with the same test records share one set of patient resamples, seeded by those records' ids.
"""

import base64
import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from bench.evaluate.result import Result, targets_and_scores
from bench.metrics.classification import (
    VERSION,
    bootstrap_macro_auroc,
    classification_metrics,
    patient_resamples,
)
from bench.report.stats import interval
from bench.run.store import Store


class ReportError(ValueError):
    """The store holds results that cannot be reported together; the message names the offender."""


class MetricViews:
    """Reads the metric views of score cells, and makes those that are missing.

    Args:
        resamples: bootstrap resamples over test patients.
    """

    def __init__(self, store: Store, resamples: int = 1000) -> None:
        self.store, self.resamples = store, resamples
        self._weights: dict[str, np.ndarray] = {}

    def metrics(self, key: str, kind: str) -> dict[str, Any]:
        """Points of one finished cell.

        Args:
            kind: of the task, 'single' or 'multi'.

        Returns:
            `records`: `records_hash` of the test part by selection; `classes`; `parts`: one entry a selection and part, with
            selection, part, n, digest (hash of the scores), metrics by name.

        Raises:
            ReportError: a record is scored twice, or the scores are no probabilities.
        """
        name = f"classification-{VERSION}"
        found = self.store.view(key, name)
        if found is None:
            self.store.keep_view(key, name, self._measure(key, kind))
            found = self.store.view(key, name)
        return dict(found)

    def interval(self, key: str, selection: str) -> tuple[float, float]:
        """95 % bootstrap interval of the macro AUROC over test patients."""
        low, high = self._bootstrap(key)[selection]["interval"]
        return low, high

    def draws(self, key: str, selection: str) -> np.ndarray:
        """(B,) macro AUROC of the test part in every resample of its patients."""
        text = self._bootstrap(key)[selection]["draws"]
        return np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float64)

    def table(self, key: str) -> pd.DataFrame:
        """The stored score rows of a cell."""
        return Result.from_bytes("scores", self.store.read(key, "scores.parquet")).table

    def _measure(self, key: str, kind: str) -> dict[str, Any]:
        parts: list[dict[str, Any]] = []
        classes: tuple[str, ...] = ()
        records: dict[str, str] = {}
        for selection, part, rows in self._pieces(key):
            targets, scores, classes = targets_and_scores(rows)
            try:
                values = classification_metrics(targets, scores, kind, classes)  # type: ignore[arg-type]
            except ValueError as error:
                raise ReportError(f"cell {key[:12]} ({part} part): {error}") from error
            digest = hashlib.sha256(np.ascontiguousarray(scores).tobytes()).hexdigest()[:16]
            described = {"selection": selection, "part": part, "n": len(rows), "digest": digest}
            parts.append({**described, "metrics": values})
            if part == "test":
                records[selection] = records_hash(rows["record"])
        return {"records": records, "classes": list(classes), "parts": parts}

    def _bootstrap(self, key: str) -> dict[str, Any]:
        name = f"bootstrap-{VERSION}-{self.resamples}"
        found = self.store.view(key, name)
        if found is None:
            self.store.keep_view(key, name, self._resample(key))
            found = self.store.view(key, name)
        return dict(found)

    def _resample(self, key: str) -> dict[str, Any]:
        content: dict[str, Any] = {}
        known: dict[bytes, dict[str, Any]] = {}
        for selection, part, rows in self._pieces(key):
            if part == "test":
                targets, scores, _ = targets_and_scores(rows)
                same = scores.tobytes()
                if same not in known:
                    known[same] = _encoded(bootstrap_macro_auroc(targets, scores, self._resamples_of(rows)))
                content[selection] = known[same]
        return content

    def _resamples_of(self, rows: pd.DataFrame) -> np.ndarray:
        place = records_hash(rows["record"])
        if place not in self._weights:
            generator = np.random.default_rng(int(place[:16], 16))
            self._weights[place] = patient_resamples(rows["patient"].to_numpy(), self.resamples, generator)
        return self._weights[place]

    def _pieces(self, key: str) -> Iterable[tuple[str, str, pd.DataFrame]]:
        """(selection, part, rows sorted by record) of a cell."""
        for (selection, part), rows in self.table(key).groupby(["selection", "part"], sort=True):
            doubled = rows["record"][rows["record"].duplicated()]
            if len(doubled):
                raise ReportError(
                    f"cell {key[:12]} holds {part} record {doubled.iloc[0]!r} more than once (selection"
                    f" {selection!r}); remove {self.store.folder(key).relative_to(self.store.root)} and run again"
                )
            yield str(selection), str(part), rows.sort_values("record")


def records_hash(records: Iterable[str]) -> str:
    """SHA-256 of a set of record ids, whatever their order."""
    return hashlib.sha256("\n".join(sorted(records)).encode()).hexdigest()


def _encoded(draws: np.ndarray) -> dict[str, Any]:
    single = draws.astype("<f4")
    text = base64.b64encode(single.tobytes()).decode()
    return {"interval": list(interval(single.astype(np.float64))), "draws": text}
