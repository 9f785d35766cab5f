"""Classification metrics of stored scores, and a fast, tie-exact bootstrap of the macro AUROC over patients.

A class without positives or without negatives is dropped from macro AUROC and average precision, one without
positives from macro F1 and recall; `macro_auroc` says which stayed. Two further macro AUROCs treat such classes, and
the rare ones, in other published ways.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

VERSION = 2
"""Raise it when any number below changes: metric views are cached by it."""

BINS = 15
"""Equal-width confidence bins of the calibration error (Guo et al., ICML 2017, section 2)."""

ENOUGH = 10
"""Positives, and negatives, from which a class counts in `macro_auroc_10`."""

_BLOCK = 4_000_000  # resample counts handled at once: bounds the memory of a bootstrap


def auroc(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each class, ties by mid-ranks.

    Args:
        targets: (n, K) 0/1.
        scores: (n, K), higher for the class.

    Returns:
        (K,), NaN for a class without positives or without negatives.

    Raises:
        ValueError: shapes differ or a score is not finite.
    """
    positive, scores = _checked(targets, scores)
    ranks = rankdata(scores, axis=0) if len(scores) else scores
    ones = positive.sum(axis=0)
    pairs = ones * (len(scores) - ones)
    wins = (ranks * positive).sum(axis=0) - ones * (ones + 1) / 2
    return np.divide(wins, pairs, out=np.full(len(ones), np.nan), where=pairs > 0)


def macro_auroc(targets: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """Unweighted mean of the classes' one-vs-rest AUROCs.

    Args:
        targets: (n, K) 0/1.
        scores: (n, K).

    Returns:
        The mean over the kept classes, NaN if there are none; and (K,) bool, which classes were kept.
    """
    each = auroc(targets, scores)
    return _mean(each), ~np.isnan(each)


def macro_auroc_half(targets: np.ndarray, scores: np.ndarray) -> float:
    """Mean of the classes' AUROCs where one that is undefined counts 0.5, as Mehari & Strodthoff's code has it.

    Comput. Biol. Med. 141:105114; beside `macro_auroc` it is drawn to 0.5 by classes nobody could tell apart.

    Args:
        targets: (n, K) 0/1.
        scores: (n, K).
    """
    return _with_halves(auroc(targets, scores))


def macro_auroc_10(targets: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean of the AUROCs of the classes with at least `ENOUGH` positives and as many negatives.

    The AUROC of three positives is mostly chance: of PTB-XL's 71 classes 24 have at most ten in the test fold.

    Args:
        targets: (n, K) 0/1.
        scores: (n, K).

    Returns:
        The mean over the kept classes, NaN if there are none; and (K,) bool, which classes were kept.
    """
    kept = _frequent(np.asarray(targets) > 0)
    return _mean(auroc(targets, scores)[kept]), kept


def average_precision(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(K,) average precision of each class (scikit-learn's step-wise sum), NaN where `auroc` is.

    Args:
        targets: (n, K) 0/1.
        scores: (n, K).
    """
    positive, scores = _checked(targets, scores)
    values = np.full(scores.shape[1], np.nan)
    for k in np.flatnonzero(_both_kinds(positive)):
        values[k] = average_precision_score(positive[:, k], scores[:, k])
    return values


def classification_metrics(
    targets: np.ndarray, scores: np.ndarray, kind: Literal["single", "multi"], classes: Sequence[str]
) -> dict[str, float]:
    """Every classification metric of one evaluated part.

    Decisions are the highest score (single) or scores of at least 0.5 (multi). Accuracy is the share of
    records decided right in every class; balanced accuracy the mean over classes of recall (single) or of
    recall and specificity (multi). Brier score: squared error summed over classes (single, as Brier defined
    it) or averaged over them (multi). Calibration error: of the highest score (single), or of each class,
    averaged (multi).

    Args:
        targets: (n, K) 0/1.
        scores: (n, K) probabilities; rows sum to 1 if single.
        kind: of the task.
        classes: K names.

    Returns:
        macro_auroc, kept_classes (its k of the K), macro_auroc_half, macro_auroc_10, kept_classes_10 (its k),
        macro_average_precision, accuracy, balanced_accuracy, macro_f1, log_loss, brier, calibration_error;
        `auroc/CLASS`, `average_precision/CLASS` for each class.

    Raises:
        ValueError: shapes do not fit, scores are no probabilities, or there is no record.
    """
    positive, scores = _checked(targets, scores)
    _check_probabilities(scores, kind, classes)
    areas = auroc(positive, scores)
    precision = average_precision(positive, scores)
    frequent = _frequent(positive)
    result = {
        "macro_auroc": _mean(areas),
        "kept_classes": float((~np.isnan(areas)).sum()),
        "macro_auroc_half": _with_halves(areas),
        "macro_auroc_10": _mean(areas[frequent]),
        "kept_classes_10": float(frequent.sum()),
        "macro_average_precision": _mean(precision),
    }
    result |= _decision_metrics(positive, _decide(scores, kind), kind)
    result |= _probability_metrics(positive, scores, kind)
    result |= {f"auroc/{name}": float(value) for name, value in zip(classes, areas, strict=True)}
    result |= {f"average_precision/{name}": float(v) for name, v in zip(classes, precision, strict=True)}
    return result


def patient_resamples(
    patients: Sequence[str] | np.ndarray, count: int, generator: np.random.Generator
) -> np.ndarray:
    """Cluster bootstrap: patients drawn with replacement, all records of a drawn patient with them.

    Args:
        patients: (n,) patient of each record.
        count: resamples B.
        generator: the source of randomness.

    Returns:
        (B, n) int32: how often each record is in each resample.
    """
    names, member = np.unique(np.asarray(patients), return_inverse=True)
    drawn = generator.integers(len(names), size=(count, len(names))) + len(names) * np.arange(count)[:, None]
    times = np.bincount(drawn.ravel(), minlength=count * len(names)).astype(np.int32)
    return times.reshape(count, len(names))[:, member]


def bootstrap_macro_auroc(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Macro AUROC of every resample: sorted once a class, then cumulative counts.

    A class is dropped from a resample that holds no positives or no negatives of it.

    Args:
        targets: (n, K) 0/1.
        scores: (n, K).
        weights: (B, n) whole counts of each record in each resample.

    Returns:
        (B,), NaN for a resample without any class.

    Raises:
        ValueError: shapes differ or a score is not finite.
    """
    positive, scores = _checked(targets, scores)
    if weights.ndim != 2 or weights.shape[1] != len(scores):
        raise ValueError(f"weights {weights.shape} must be (resamples, {len(scores)})")
    sorted_classes = [_sort_class(positive[:, k], scores[:, k]) for k in range(scores.shape[1])]
    step = max(1, _BLOCK // max(1, len(scores)))
    blocks = [_bootstrap_block(sorted_classes, weights[i : i + step]) for i in range(0, len(weights), step)]
    return np.concatenate(blocks) if blocks else np.empty(0)


def _sort_class(
    positive: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Records with positives last, in the order of the scores: what one class's AUROC needs of a resample.

    Returns:
        The negatives sorted by score; the positives; and for each positive how many of the sorted negatives
        score below it, and how many at most the same.
    """
    ones, zeros = np.flatnonzero(positive), np.flatnonzero(~positive)
    zeros = zeros[np.argsort(scores[zeros], kind="stable")]
    below = np.searchsorted(scores[zeros], scores[ones], side="left")
    at_most = np.searchsorted(scores[zeros], scores[ones], side="right")
    return zeros, ones, below, at_most


def _bootstrap_block(classes: Sequence[tuple[np.ndarray, ...]], weights: np.ndarray) -> np.ndarray:
    """(b,) macro AUROC: a positive wins against the negatives below it and half against its ties."""
    total = np.zeros(len(weights))
    kept = np.zeros(len(weights), dtype=int)
    for zeros, ones, below, at_most in classes:
        negatives = np.zeros((len(weights), len(zeros) + 1), dtype=np.int64)
        np.cumsum(weights[:, zeros], axis=1, out=negatives[:, 1:])
        positives = weights[:, ones]
        twice = negatives[:, below] + negatives[:, at_most]
        twice_wins = np.einsum("bp,bp->b", positives, twice, dtype=np.int64, casting="unsafe")
        pairs = positives.sum(axis=1) * negatives[:, -1]
        total += np.divide(twice_wins, 2 * pairs, out=np.zeros(len(weights)), where=pairs > 0)
        kept += pairs > 0
    return np.divide(total, kept, out=np.full(len(weights), np.nan), where=kept > 0)


def _checked(targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Targets as bool and scores as float64, once they fit each other."""
    targets, scores = np.asarray(targets), np.asarray(scores, dtype=np.float64)
    if targets.ndim != 2 or targets.shape != scores.shape:
        raise ValueError(f"targets {targets.shape} and scores {scores.shape} must both be (records, classes)")
    if not np.isfinite(scores).all():
        raise ValueError(f"{int((~np.isfinite(scores)).sum())} scores are not finite; the fit diverged")
    return targets > 0, scores


def _check_probabilities(scores: np.ndarray, kind: str, classes: Sequence[str]) -> None:
    if scores.shape[1] != len(classes) or not len(scores):
        raise ValueError(f"scores {scores.shape} must be (records, {len(classes)}), at least one record")
    if scores.min() < 0 or scores.max() > 1 + 1e-6:
        raise ValueError(f"scores reach from {scores.min():g} to {scores.max():g}; give probabilities")
    if kind == "single" and np.abs(scores.sum(axis=1) - 1).max() > 1e-3:
        raise ValueError("probabilities of a single-label task must sum to 1 in every record")


def _both_kinds(positive: np.ndarray) -> np.ndarray:
    return np.asarray(positive.any(axis=0) & ~positive.all(axis=0))


def _frequent(positive: np.ndarray) -> np.ndarray:
    """(K,) classes with enough positives and negatives."""
    ones = positive.sum(axis=0)
    return np.asarray(np.minimum(ones, len(positive) - ones) >= ENOUGH)


def _with_halves(areas: np.ndarray) -> float:
    return float(np.where(np.isnan(areas), 0.5, areas).mean())


def _decide(scores: np.ndarray, kind: str) -> np.ndarray:
    """(n, K) bool decisions."""
    if kind == "multi":
        return scores >= 0.5
    return np.arange(scores.shape[1]) == scores.argmax(axis=1)[:, None]


def _decision_metrics(positive: np.ndarray, decided: np.ndarray, kind: str) -> dict[str, float]:
    hit = (positive & decided).sum(axis=0)
    recall = _ratio(hit, positive.sum(axis=0))
    rejected = _ratio((~positive & ~decided).sum(axis=0), (~positive).sum(axis=0))
    f1 = _ratio(2 * hit, positive.sum(axis=0) + decided.sum(axis=0))
    f1[~positive.any(axis=0)] = np.nan
    return {
        "accuracy": float((positive == decided).all(axis=1).mean()),
        "balanced_accuracy": _mean(recall if kind == "single" else (recall + rejected) / 2),
        "macro_f1": _mean(f1),
    }


def _probability_metrics(positive: np.ndarray, scores: np.ndarray, kind: str) -> dict[str, float]:
    tiny = np.finfo(np.float64).eps
    inside = np.clip(scores, tiny, 1 - tiny)
    squared = (scores - positive) ** 2
    if kind == "single":
        top = scores.argmax(axis=1)
        rows = np.arange(len(scores))
        return {
            "log_loss": float(-np.log((inside * positive).sum(axis=1).clip(min=tiny)).mean()),
            "brier": float(squared.sum(axis=1).mean()),
            "calibration_error": _calibration_error(positive[rows, top], scores[rows, top]),
        }
    errors = [_calibration_error(positive[:, k], scores[:, k]) for k in range(scores.shape[1])]
    return {
        "log_loss": float(-np.where(positive, np.log(inside), np.log1p(-inside)).mean()),
        "brier": float(squared.mean()),
        "calibration_error": float(np.mean(errors)),
    }


def _calibration_error(right: np.ndarray, confidence: np.ndarray) -> float:
    """Expected calibration error: gap between confidence and frequency, weighted by the bins' records."""
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gap = np.bincount(place, confidence - right, minlength=BINS)
    return float(np.abs(gap).sum() / len(right))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)


def _mean(values: np.ndarray) -> float:
    """Mean of what is not NaN; NaN if nothing is."""
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if len(kept) else float("nan")
