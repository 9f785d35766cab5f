"""Challenge metrics of finished cells as cached views: scores are masked and turned into decisions here, never stored.

A decision rule is what is known of the source database when scores become decisions. Masks are of the labelled
training records; thresholds are chosen on the validation records of the same label fraction, masked as the rule says.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from bench.data.leads import lead_set
from bench.evaluate.result import targets_and_scores
from bench.metrics import classification
from bench.metrics.challenge import (
    CLASSES,
    VERSION,
    best_thresholds,
    challenge_draws,
    challenge_metric,
    contributions,
    database_mask,
    decide,
    decision_metrics,
    inferred_databases,
    mask_rows,
)
from bench.report.views import MetricViews
from bench.run.cell import PredictCell
from bench.run.plan import Plan
from bench.run.store import Store

Rule = Literal["known", "inferred", "validation", "unmasked"]

RULES: tuple[Rule, ...] = ("known", "inferred", "validation", "unmasked")
"""Classes that a record's database never has in training are masked at validation and test, the database being known
there, or at test guessed by the paper's two rules; or at validation alone; or nowhere."""

_VERSION = 1  # raise it when masks, or who chooses, change: views are cached by it


def versions() -> dict[str, int]:
    """Of the Challenge's metrics, and of the rules by which scores become decisions here."""
    return {"challenge": VERSION, "challenge_rules": _VERSION}


@dataclass(frozen=True)
class Masked:
    """Targets and masked scores of one cell under one rule, records sorted by id.

    Attributes:
        val_targets, val_scores: of the validation records that choose, (m, 26).
        targets, scores: of the test part, (n, 26).
    """

    val_targets: np.ndarray
    val_scores: np.ndarray
    targets: np.ndarray
    scores: np.ndarray

    def thresholds(self) -> np.ndarray:
        """(26,) of the validation records."""
        return best_thresholds(self.val_targets, self.val_scores)


class ChallengeViews:
    """Reads the Challenge views of score cells, and makes those that are missing.

    Args:
        resamples: bootstrap resamples over test patients.
    """

    def __init__(self, plan: Plan, store: Store, resamples: int = 1000) -> None:
        self.plan, self.store, self.resamples = plan, store, resamples
        self._scores = MetricViews(store, resamples)
        self._corpora = {corpus.fingerprint: corpus for corpus in plan.corpora.values()}
        self._guesses: dict[tuple[str, str], tuple[pd.Series, str]] = {}

    def concerns(self, key: str) -> bool:
        """Are a cell's classes the Challenge's, and what it scores whole records, those of validation too?"""
        cell = self._cell(key)
        if cell.input.aggregation == "none" or cell.noise:
            return False
        return self._corpora[cell.corpus].tasks[cell.task].classes == CLASSES

    def metrics(self, key: str, rule: str) -> dict[str, Any]:
        """Of the test part under a rule.

        Returns:
            challenge_metric, macro_f, accuracy, macro_auroc, macro_average_precision; `digest` of the masked scores
            and the decisions.
        """
        found = self.store.view(key, self._name("challenge", key))
        if found is None:
            self._measure(key)
            found = self.store.view(key, self._name("challenge", key))
        return dict(found[rule])

    def draws(self, key: str, selection: str) -> np.ndarray:
        """(B,) Challenge metric of the test part under the rule `selection` in every resample of its patients."""
        found = self.store.view(key, self._name("challenge-bootstrap", key))
        if found is None:
            self._measure(key)
            found = self.store.view(key, self._name("challenge-bootstrap", key))
        return np.frombuffer(base64.b64decode(found[selection]), dtype="<f4").astype(np.float64)

    def averaged(self, keys: Sequence[str], rule: Rule) -> list[float]:
        """Challenge metric of each seed's scores under the mean of all seeds' thresholds, as submitted."""
        cells = [self.masked(key)[rule] for key in keys]
        mean = np.mean([cell.thresholds() for cell in cells], axis=0)
        return [challenge_metric(cell.targets, decide(cell.scores, mean)) for cell in cells]

    def masked(self, key: str) -> dict[Rule, Masked]:
        """Targets and scores of a cell by rule."""
        val, test, mask = self._rows(key, "val"), self._rows(key, "test"), self._mask(key)
        val_targets, val_scores, _ = targets_and_scores(val)
        targets, scores, _ = targets_and_scores(test)
        chosen, known = (mask_rows(mask, rows["source"].to_numpy()) for rows in (val, test))
        guessed = mask_rows(mask, self._guessed(key)[0].loc[test["record"]].to_numpy())
        nowhere = np.ones_like(chosen), np.ones_like(known)
        masks: dict[Rule, tuple[np.ndarray, np.ndarray]] = {
            "known": (chosen, known),
            "inferred": (chosen, guessed),
            "validation": (chosen, nowhere[1]),
            "unmasked": nowhere,
        }
        return {
            rule: Masked(val_targets, val_scores * first, targets, scores * second)
            for rule, (first, second) in masks.items()
        }

    def _measure(self, key: str) -> None:
        content: dict[str, dict[str, Any]] = {}
        draws: dict[str, str] = {}
        counts = self._scores.resamples_of(self._rows(key, "test"))
        for rule, cell in self.masked(key).items():
            outputs = decide(cell.scores, cell.thresholds())
            content[rule] = {
                "challenge_metric": challenge_metric(cell.targets, outputs),
                **decision_metrics(cell.targets, outputs),
                "macro_auroc": classification.macro_auroc(cell.targets, cell.scores)[0],
                "macro_average_precision": _mean(classification.average_precision(cell.targets, cell.scores)),
                "digest": _digest(cell.scores.tobytes() + outputs.tobytes()),
            }
            drawn = challenge_draws(contributions(cell.targets, outputs), counts).astype("<f4")
            draws[rule] = base64.b64encode(drawn.tobytes()).decode()
        self.store.keep_view(key, self._name("challenge-bootstrap", key), draws)
        self.store.keep_view(key, self._name("challenge", key), content)

    def _rows(self, key: str, part: str) -> pd.DataFrame:
        """Score rows of a part, sorted by record; of validation only those that may choose."""
        table = self._scores.table(key)
        rows = table[(table["selection"] == "subset") & (table["part"] == part)]
        if part == "val":
            job = self.plan.jobs[key]
            records = self._corpora[job.cell.corpus].records["record"].to_numpy()
            rows = rows[rows["record"].isin(records[job.rows.val_subset])]
        return rows.sort_values("record", kind="stable")

    def _mask(self, key: str) -> dict[str, np.ndarray]:
        """(26,) bool by database: which classes its labelled training records have."""
        cell, rows = self._cell(key), self.plan.jobs[key].rows
        corpus = self._corpora[cell.corpus]
        records = corpus.records.iloc[rows.labelled]
        return database_mask(
            corpus.targets(cell.task).loc[records["record"]].to_numpy(), records["source"].to_numpy()
        )

    def _guessed(self, key: str) -> tuple[pd.Series, str]:
        """What the paper's two rules guess of the leads of a cell: index record, the database; and a hash of it."""
        cell = self._cell(key)
        place = cell.corpus, cell.lead_set
        if place not in self._guesses:
            records = self._corpora[cell.corpus].records
            means = np.stack(records["native_mean"].to_list())[:, lead_set(cell.lead_set)]
            guessed = inferred_databases(records["native_rate"].to_numpy(), means)
            text = "\n".join(guessed).encode()
            self._guesses[place] = pd.Series(guessed, records["record"].to_numpy()), _digest(text)
        return self._guesses[place]

    def _cell(self, key: str) -> PredictCell:
        cell = self.plan.jobs[key].cell
        if not isinstance(cell, PredictCell):
            raise TypeError(f"cell {key[:12]} holds no scores")
        return cell

    def _name(self, view: str, key: str) -> str:
        """With what a view depends on and a cell's key does not tell: native means are in no fingerprint."""
        versions = f"{_VERSION}-{VERSION}-{classification.VERSION}"
        return f"{view}-{versions}-{self.resamples}-{self._guessed(key)[1]}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _mean(values: np.ndarray) -> float:
    """Over what is there; NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
