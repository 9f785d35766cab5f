"""Scores of the test part by sex and by age band as cached views, from stored scores and the corpus's records.

A record's sex and age are of the record, not of its patient: who came at 39 and at 41 is in two bands. Where a group
lacks a class of another, their averages are over different classes; so every family has scores over shared ones too.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.evaluate.result import targets_and_scores
from bench.metrics import classification
from bench.metrics.classification import auroc, bootstrap_macro_auroc
from bench.report.views import MetricViews
from bench.run.cell import PredictCell
from bench.run.plan import Plan
from bench.run.store import Store

FAMILIES: dict[str, tuple[str, ...]] = {
    "sex": ("female", "male"),
    "age": ("<40", "40–59", "60–74", "≥75"),
}
"""Groups of each family; a record is in one of them, or unknown."""

EDGES = (40.0, 60.0, 75.0)
"""Ages in years at which the next band begins."""

FEWEST = 20
"""Patients without whom a group has no number: an AUROC of fewer is mostly chance, and so is its bootstrap."""

SHARED = "/shared"
"""Ends the name of a group where only classes that all judged groups of its family can score are averaged."""

_FEW_ROWS = 1000  # up to which all pairs of a positive and a negative are quicker than sorting

_VERSION = 1  # raise it when a view's content changes; the metrics have a version of their own


@dataclass(frozen=True)
class _Group:
    """Test rows of one group, with what is scored.

    Attributes:
        scorable: (K,) bool: classes with both kinds.
    """

    rows: pd.DataFrame
    targets: np.ndarray
    scores: np.ndarray
    scorable: np.ndarray

    @property
    def reason(self) -> str:
        """Why it has no number; empty where it has."""
        patients = self.rows["patient"].nunique()
        if patients < FEWEST:
            return f"{patients} patient{'s' * (patients != 1)}, fewer than {FEWEST}"
        return "" if self.scorable.any() else "no class has both a positive and a negative record"


class SubgroupViews:
    """Reads the subgroup views of score cells, and makes those that are missing.

    Args:
        resamples: bootstrap resamples over a group's patients.
    """

    def __init__(self, plan: Plan, store: Store, resamples: int = 1000) -> None:
        self.plan, self.store, self.resamples = plan, store, resamples
        self._scores = MetricViews(store, resamples)
        self._corpora = {corpus.fingerprint: corpus for corpus in plan.corpora.values()}
        self._members: dict[str, pd.DataFrame] = {}
        self._read: dict[tuple[str, str], dict[str, Any]] = {}

    def metrics(self, key: str) -> dict[str, Any]:
        """Of the test part, selection 'subset', of one finished cell.

        Returns:
            By family: `unknown`, records that are in none of its groups; `shared`, number of classes that all its
            judged groups can score; `groups` by name: records, patients, `reason` (empty where it is judged); where
            it is, `kept` of `total` classes with both kinds, `fewest` records of a kind that one of these has,
            `macro_auroc` over them, `macro_auroc/shared` (None without any shared class), and `brier` over all
            classes, as in `classification_metrics`.
        """
        return self._view(key, "subgroups")

    def group(self, key: str, name: str) -> dict[str, Any]:
        """What `metrics` has of one group."""
        found = (family["groups"] for family in self.metrics(key).values())
        return next(dict(groups[name]) for groups in found if name in groups)

    def draws(self, key: str, selection: str) -> np.ndarray:
        """(B,) macro AUROC of a group in every resample of its patients.

        The same resamples for every cell with the same records of the group; of two groups independent ones.

        Args:
            selection: name of a judged group, or that and `SHARED`.
        """
        found = self._view(key, "subgroups-bootstrap")
        text = found[selection]
        return np.frombuffer(base64.b64decode(found.get(text, text)), dtype="<f4").astype(np.float64)

    def _view(self, key: str, view: str) -> dict[str, Any]:
        """From memory, from the store, or made first."""
        if (key, view) not in self._read:
            name = self._name(view)
            found = self.store.view(key, name)
            if found is None:
                self._measure(key)
                found = self.store.view(key, name)
            self._read[key, view] = found
        return self._read[key, view]

    def _measure(self, key: str) -> None:
        content: dict[str, Any] = {}
        draws: dict[str, str] = {}
        groups_of, kind = self._of_records(key), self._kind(key)
        table = self._scores.table(key)
        rows = table[(table["part"] == "test") & (table["selection"] == "subset")]
        rows = rows.sort_values("record", kind="stable")
        members = groups_of.loc[rows["record"]]
        for family, names in FAMILIES.items():
            named = members[family].to_numpy()
            groups = {name: _group(rows[named == name]) for name in names}
            judged = [group.scorable for group in groups.values() if not group.reason]
            shared = np.logical_and.reduce(judged) if judged else np.zeros(0, bool)
            content[family] = {
                "unknown": int(rows["record"][named == ""].nunique()),
                "shared": int(shared.sum()),
                "groups": {name: _points(group, shared, kind) for name, group in groups.items()},
            }
            for name, group in groups.items():
                draws |= self._bootstrap(name, group, shared)
        self.store.keep_view(key, self._name("subgroups-bootstrap"), draws)
        self.store.keep_view(key, self._name("subgroups"), content)

    def _bootstrap(self, name: str, group: _Group, shared: np.ndarray) -> dict[str, str]:
        """Draws of a judged group, encoded, by their name; or the name of those that they equal."""
        if group.reason:
            return {}
        areas = class_draws(group.targets, group.scores, self._scores.resamples_of(group.rows))
        found = {name: _encoded(_macro(areas))}
        if (shared == group.scorable).all():
            return found | {name + SHARED: name}
        return found | ({name + SHARED: _encoded(_macro(areas[:, shared]))} if shared.any() else {})

    def _of_records(self, key: str) -> pd.DataFrame:
        """Group of every record of a cell's corpus in each family, by record; '': unknown."""
        fingerprint = self._cell(key).corpus
        if fingerprint not in self._members:
            records = self._corpora[fingerprint].records
            bands = np.array([*FAMILIES["age"], ""], dtype=object)
            age = records["age"].to_numpy(float)
            place = np.where(np.isnan(age), len(EDGES) + 1, np.searchsorted(EDGES, age, side="right"))
            sex = records["sex"].where(records["sex"].isin(FAMILIES["sex"]), "")
            columns = {"sex": sex.to_numpy(object), "age": bands[place]}
            self._members[fingerprint] = pd.DataFrame(columns, index=records["record"].to_numpy())
        return self._members[fingerprint]

    def _kind(self, key: str) -> str:
        cell = self._cell(key)
        return self._corpora[cell.corpus].tasks[cell.task].kind

    def _cell(self, key: str) -> PredictCell:
        cell = self.plan.jobs[key].cell
        if not isinstance(cell, PredictCell):
            raise TypeError(f"cell {key[:12]} holds no scores")
        return cell

    def _name(self, view: str) -> str:
        return f"{view}-{_VERSION}-{classification.VERSION}-{self.resamples}"


def _group(rows: pd.DataFrame) -> _Group:
    targets, scores, _ = targets_and_scores(rows)
    positive = targets > 0
    both = positive.any(axis=0) & ~positive.all(axis=0)
    return _Group(rows, targets, scores, np.asarray(both))


def _points(group: _Group, shared: np.ndarray, kind: str) -> Mapping[str, Any]:
    described: dict[str, Any] = {
        "records": int(group.rows["record"].nunique()),
        "patients": int(group.rows["patient"].nunique()),
        "reason": group.reason,
    }
    if group.reason:
        return described
    each, ones = auroc(group.targets, group.scores), (group.targets > 0).sum(axis=0)
    return described | {
        "kept": int(group.scorable.sum()),
        "fewest": int(np.minimum(ones, len(group.targets) - ones)[group.scorable].min()),
        "total": len(each),
        "macro_auroc": float(each[group.scorable].mean()),
        "macro_auroc" + SHARED: float(each[shared].mean()) if shared.any() else None,
        "brier": brier(group.targets, group.scores, kind),
    }


def brier(targets: np.ndarray, scores: np.ndarray, kind: str) -> float:
    """Squared error summed over classes ('single') or averaged over them ('multi'), mean over rows.

    Args:
        targets: (n, K) 0/1.
        scores: (n, K) probabilities.
    """
    squared = (np.asarray(scores, dtype=np.float64) - targets) ** 2
    return float((squared.sum(axis=1) if kind == "single" else squared).mean())


def class_draws(targets: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """AUROC of each class in each resample, ties counting half; of few rows by all pairs at once.

    Args:
        targets, scores: (n, K).
        counts: (B, n) how often each row is in each resample.

    Returns:
        (B, K), NaN where a resample lacks positives or negatives.
    """
    classes = range(targets.shape[1])
    if len(targets) > _FEW_ROWS:
        columns = (bootstrap_macro_auroc(targets[:, [k]], scores[:, [k]], counts) for k in classes)
        return np.stack(list(columns), axis=1)
    times = np.ascontiguousarray(counts.T, dtype=np.float32)
    return np.stack([_area(targets[:, k] > 0, scores[:, k], times) for k in classes], axis=1)


def _area(positive: np.ndarray, scores: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(B,) AUROC of a class; times: (n, B). Sums stay below 2**24, up to which float32 holds whole numbers."""
    above, below = scores[positive][:, None], scores[~positive]
    twice = 2 * (above > below).astype(np.float32) + (above == below)
    ones, zeros = times[positive], times[~positive]
    wins = np.einsum("pb,pb->b", ones, twice @ zeros).astype(float)
    pairs = 2 * ones.sum(axis=0).astype(float) * zeros.sum(axis=0)
    return np.divide(wins, pairs, out=np.full(len(wins), np.nan), where=pairs > 0)


def _macro(areas: np.ndarray) -> np.ndarray:
    """(B,) mean over the classes of a resample that are not NaN; NaN where all are."""
    known = (~np.isnan(areas)).sum(axis=1)
    return np.divide(np.nansum(areas, axis=1), known, out=np.full(len(areas), np.nan), where=known > 0)


def _encoded(draws: np.ndarray) -> str:
    return base64.b64encode(draws.astype("<f4").tobytes()).decode()
