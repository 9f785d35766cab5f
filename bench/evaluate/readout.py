"""Read-outs: what is fitted on frozen embeddings with a label subset, and scored on validation and test.

All have one signature: (features, targets of the training records, validation records) -> scores of all records.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from bench.evaluate.logistic import STRENGTHS, fit_logistic, log_loss, predict_logistic


@dataclass(frozen=True)
class ReadoutData:
    """What a read-out may see.

    Attributes:
        features: (R, D) of every record of the corpus.
        targets: (R, K) multi-hot; rows outside train and validation must not be used for fitting.
        train: rows of the label subset; validation: rows that choose, by name of the selection.
        kind: 'single' or 'multi'.
    """

    features: np.ndarray
    targets: np.ndarray
    train: np.ndarray
    validation: dict[str, np.ndarray]
    kind: Literal["single", "multi"]
    seed: int
    threads: int


@dataclass(frozen=True)
class ReadoutScores:
    """Scores (R, K) by selection, and what was chosen."""

    scores: dict[str, np.ndarray]
    chosen: dict[str, float]


def probe(data: ReadoutData) -> ReadoutScores:
    """L2-regularised logistic regression on standardised embeddings; C by validation log-loss."""
    features = torch.from_numpy(_standardised(data.features, data.train))
    targets = torch.from_numpy(data.targets.astype(np.float64))
    weights = fit_logistic(features[data.train], targets[data.train], data.kind)
    probabilities = predict_logistic(weights, features, data.kind)
    scores, chosen = {}, {}
    for name, rows in data.validation.items():
        losses = log_loss(probabilities[:, rows], targets[rows], data.kind)
        best = int(losses.argmin())
        scores[name], chosen[f"C_{name}"] = probabilities[best].numpy(), STRENGTHS[best]
    return ReadoutScores(scores, chosen)


def boosting(data: ReadoutData) -> ReadoutScores:
    """Histogram gradient boosting, 150 rounds; NaN features are missing values.

    A leaf holds the library's 20 records, or a tenth of a smaller training set, which else could not be split.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    leaf = max(1, min(20, len(data.train) // 10))

    def fit(labels: np.ndarray) -> np.ndarray:
        if len(np.unique(labels)) < 2:
            return np.repeat(np.eye(2)[int(labels[0])][None], len(data.features), 0)
        model = HistGradientBoostingClassifier(
            max_iter=150,
            min_samples_leaf=leaf,
            early_stopping=False,
            random_state=data.seed % 2**32,
        )
        return np.asarray(model.fit(data.features[data.train], labels).predict_proba(data.features))

    with threadpool_limits(data.threads):
        train = data.targets[data.train]
        if data.kind == "multi":
            scores = np.stack([fit(train[:, k])[:, 1] for k in range(train.shape[1])], 1)
        else:
            present = np.unique(train.argmax(1))
            scores = np.zeros(data.targets.shape)
            scores[:, present] = fit(train.argmax(1)) if len(present) > 1 else 1.0
    return ReadoutScores(dict.fromkeys(data.validation, scores), {})


READOUTS: dict[str, Callable[[ReadoutData], ReadoutScores]] = {"probe": probe, "boosting": boosting}


def _standardised(features: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Zero mean and unit SD over the training rows; constant columns become zero."""
    values = features.astype(np.float64)
    sd = values[train].std(0)
    constant = sd <= 1e-8 * np.maximum(1.0, np.abs(values[train]).max(0))
    return np.where(constant, 0.0, (values - values[train].mean(0)) / np.where(constant, 1.0, sd))
