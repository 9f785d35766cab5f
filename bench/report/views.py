"""Metrics of finished cells as cached views in the store: computed once a (cell, metric version), then only read.

All cells with the same test records share one set of patient resamples, seeded by those records' ids.
"""

import base64
import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from bench.evaluate.result import UNIT_PLACE, Result, targets_and_scores
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
        """Points and intervals of one finished cell.

        Args:
            kind: of the task, 'single' or 'multi'.

        Returns:
            `records`: `records_hash` of the test part by selection; `classes`; `parts`: one entry a selection and
            part, with selection, part, n, digest (hash of the scores), metrics by name, and in the test part
            `interval`, the 95 % bootstrap interval of the macro AUROC over its patients.

        Raises:
            ReportError: a record is scored twice, or the scores are no probabilities.
        """
        found = self.store.view(key, self._name("classification"))
        if found is None:
            self._measure(key, kind)
            found = self.store.view(key, self._name("classification"))
        return dict(found)

    def draws(self, key: str, selection: str) -> np.ndarray:
        """(B,) macro AUROC of the test part in every resample of its patients, of a cell that `metrics` knows."""
        found = self.store.view(key, self._name("bootstrap"))
        if found is None:
            self._measure(key, self.store.view(key, self._name("classification"))["kind"])
            found = self.store.view(key, self._name("bootstrap"))
        return _decoded(found[selection])

    def draws_of_part(self, key: str, selection: str, part: str) -> np.ndarray:
        """(B,) macro AUROC of a part in every resample of its patients; of the test part what `draws` gives."""
        if part == "test":
            return self.draws(key, selection)
        view = self._name(f"bootstrap-{part}")
        found = self.store.view(key, view)
        if found is None:
            found = {
                chosen: self._bootstrap(rows, *targets_and_scores(rows)[:2])["draws"]
                for chosen, own, rows in self._pieces(key)
                if own == part
            }
            self.store.keep_view(key, view, found)
        return _decoded(found[selection])

    def table(self, key: str) -> pd.DataFrame:
        """The stored score rows of a cell."""
        return Result.from_bytes("scores", self.store.read(key, "scores.parquet")).table

    def held(self, key: str, selection: str) -> set[str]:
        """Test records of a cell and selection."""
        table = self.table(key)
        return set(table.loc[(table["part"] == "test") & (table["selection"] == selection), "record"])

    def _name(self, view: str) -> str:
        return f"{view}-{VERSION}-{self.resamples}"

    def _measure(self, key: str, kind: str) -> None:
        """Make both views of a cell; what two selections have in common is computed once."""
        content: dict[str, Any] = {"kind": kind, "records": {}, "classes": [], "parts": []}
        draws: dict[str, str] = {}
        known: dict[tuple[str, str], dict[str, Any]] = {}
        for selection, part, rows in self._pieces(key):
            targets, scores, classes = targets_and_scores(rows)
            place = (part, hashlib.sha256(np.ascontiguousarray(scores).tobytes()).hexdigest()[:16])
            if place not in known:
                known[place] = self._points(key, part, kind, classes, targets, scores)
                if part == "test":
                    known[place] |= self._bootstrap(rows, targets, scores)
            measured = dict(known[place])
            if part == "test":
                draws[selection] = measured.pop("draws")
                content["records"][selection] = records_hash(rows["record"])
            described = {"selection": selection, "part": part, "n": len(rows), "digest": place[1]}
            content["classes"] = list(classes)
            content["parts"].append({**described, **measured})
        self.store.keep_view(key, self._name("bootstrap"), draws)
        self.store.keep_view(key, self._name("classification"), content)

    def _points(
        self,
        key: str,
        part: str,
        kind: str,
        classes: tuple[str, ...],
        targets: np.ndarray,
        scores: np.ndarray,
    ) -> dict[str, Any]:
        try:
            values = classification_metrics(targets, scores, kind, classes)  # type: ignore[arg-type]
        except ValueError as error:
            raise ReportError(f"cell {key[:12]} ({part} part): {error}") from error
        return {"metrics": values}

    def _bootstrap(self, rows: pd.DataFrame, targets: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
        draws = bootstrap_macro_auroc(targets, scores, self.resamples_of(rows)).astype("<f4")
        text = base64.b64encode(draws.tobytes()).decode()
        return {"interval": list(interval(draws.astype(np.float64))), "draws": text}

    def resamples_of(self, rows: pd.DataFrame) -> np.ndarray:
        """(B, n) how often each score row is in each resample of the patients; the same for the same records."""
        place = f"{records_hash(rows['record'])}/{len(rows)}"
        if place not in self._weights:
            generator = np.random.default_rng(int(place[:16], 16))
            self._weights[place] = patient_resamples(rows["patient"].to_numpy(), self.resamples, generator)
        return self._weights[place]

    def _pieces(self, key: str) -> Iterable[tuple[str, str, pd.DataFrame]]:
        """(selection, part, rows sorted by record) of a cell."""
        for (selection, part), rows in self.table(key).groupby(["selection", "part"], sort=True):
            doubled = rows["record"][rows.duplicated([c for c in ("record", *UNIT_PLACE) if c in rows])]
            if len(doubled):
                raise ReportError(
                    f"cell {key[:12]} holds {part} record {doubled.iloc[0]!r} more than once (selection"
                    f" {selection!r}); remove {self.store.folder(key).relative_to(self.store.root)} and run again"
                )
            yield str(selection), str(part), rows.sort_values("record", kind="stable")


def _decoded(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float64)


def records_hash(records: Iterable[str]) -> str:
    """SHA-256 of a set of record ids, whatever their order and however often each is named."""
    return hashlib.sha256("\n".join(sorted(set(records))).encode()).hexdigest()
