"""The PhysioNet/CinC Challenge of 2021: its metric, and an entry's label masks, thresholds and decisions.

The metric is pooled: three sums over all records are normalised once, so that scores of parts must not be averaged.
It reads decisions, not scores, over the 26 scored classes in the order of `CLASSES`.

AUROC and average precision are those of `bench.metrics.classification`, whose macro averages leave out a class
without positives or without negatives, as the official ones do. The official average precision keeps one case more:
a class that every record has counts 1 there and is left out here.

Paper and code: masks, thresholds and rules for the database are from Suh et al., "Learning ECG representations for
multi-label classification of cardiac abnormalities", CinC 48 (2021), sections 2.6 and 2.7. It leaves open whether
masks are over 30 codes or the 26 classes, what an unknown database gets, and which of equally good thresholds is
taken; each docstring says what is done here. The metric follows the organisers' evaluation-2021.
"""

from collections.abc import Mapping, Sequence

import numpy as np

VERSION = 1
"""Raise it when any number below changes: metric views are cached by it."""

NORMAL = "NSR"
"""The class that the inactive reference of the metric gives to every record."""

_PLACES = {
    "AF": 0,
    "AFL": 0,
    "BBB": 2,
    "Brady": 16,
    "CLBBB|LBBB": 2,
    "CRBBB|RBBB": 8,
    "IAVB": 16,
    "IRBBB": 16,
    "LAD": 12,
    "LAnFB": 12,
    "LPR": 16,
    "LQRSV": 6,
    "LQT": 4,
    "NSIVCB": 12,
    "NSR": 20,
    "PAC|SVPB": 13,
    "PR": 10,
    "PRWP": 6,
    "PVC|VPB": 10,
    "QAb": -8,
    "RAD": 12,
    "SA": 16,
    "SB": 16,
    "STach": 10,
    "TAb": 0,
    "TInv": 0,
}
"""Where each class stands on a line, in units of 1/80: two classes' weight falls by their distance."""

_NOT_BY_PLACE = (("BBB", "CLBBB|LBBB"), ("LQRSV", "PRWP"))  # share a place, yet weigh 38 of 80

CLASSES = tuple(_PLACES)
"""The 26 scored classes in the organisers' order; equivalent ones are merged, their names joined by '|'."""

THRESHOLDS = tuple((10 + 5 * step) / 100 for step in range(13))
"""Candidates 0.10, 0.15 ... 0.70 of a class's decision threshold."""

UNKNOWN = ("", "unknown")
"""Names of a database that nobody knows: it has no mask."""

_UNIT = 80
_BLOCK = 4_000_000  # resample counts handled at once: bounds the memory of a bootstrap


def weights() -> np.ndarray:
    """(26, 26) credit for deciding class j where class i is present: symmetric, 1 on the diagonal, else 0.15 to 0.5.

    The organisers' `weights.csv` in closed form: 0.5 less the distance of the two classes on a line, but for two
    pairs that weigh 0.475. Every entry is the double nearest to its decimal in that file.
    """
    return _credits() / _UNIT


def contributions(targets: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """What each record adds to the three sums of the metric.

    A record with labels x and decisions y adds x' W y / max(|x or y|, 1) to the first, with W the `weights`; with
    the normal class alone for y to the second; with y = x to the third. One without a scored label adds nothing,
    whatever is decided.

    Args:
        targets: (n, 26) 0/1 in the order of `CLASSES`.
        outputs: (n, 26) 0/1 decisions.

    Returns:
        (n, 3) float64: its share in the observed, the inactive and the correct score.

    Raises:
        ValueError: shapes do not fit, or something is neither 0 nor 1.
    """
    positive, decided = _checked(targets, outputs)
    if positive.shape[1] != len(CLASSES):
        raise ValueError(f"targets {positive.shape} must be (records, {len(CLASSES)})")
    x, y = positive.astype(np.float32), decided.astype(np.float32)
    credit = x @ _credits().astype(np.float32)  # whole numbers far below 2**24: exact, here and below
    normal = CLASSES.index(NORMAL)
    own, both = x.sum(axis=1), np.einsum("nk,nk->n", x, y)
    earned = np.stack([np.einsum("nk,nk->n", credit, y), credit[:, normal], np.einsum("nk,nk->n", credit, x)])
    size = np.stack([own + y.sum(axis=1) - both, own + 1 - x[:, normal], own])
    return (earned.astype(np.float64) / (_UNIT * np.maximum(size, 1).astype(np.float64))).T


def challenge_metric(targets: np.ndarray, outputs: np.ndarray) -> float:
    """The Challenge metric: 1 for decisions that equal the labels, 0 for the normal class everywhere; may be negative.

    (observed - inactive) / (correct - inactive), each summed over all records; 0 where the denominator is.

    Args:
        targets: (n, 26) 0/1 in the order of `CLASSES`.
        outputs: (n, 26) 0/1 decisions.

    Raises:
        ValueError: shapes do not fit, or something is neither 0 nor 1.
    """
    return float(_normalised(_over_inactive(contributions(targets, outputs)).sum(axis=0)))


def challenge_draws(contributions: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The Challenge metric of every resample.

    Args:
        contributions: (n, 3) of each record.
        counts: (B, n) how often each record is in each resample.

    Returns:
        (B,), 0 where the denominator is.

    Raises:
        ValueError: shapes do not fit.
    """
    contributions = np.asarray(contributions, dtype=np.float64)
    if contributions.ndim != 2 or contributions.shape[1] != 3:
        raise ValueError(f"contributions {contributions.shape} must be (records, 3)")
    if counts.ndim != 2 or counts.shape[1] != len(contributions):
        raise ValueError(f"counts {counts.shape} must be (resamples, {len(contributions)})")
    gains = _over_inactive(contributions)
    step = max(1, _BLOCK // max(1, len(gains)))
    sums = [counts[i : i + step].astype(np.float64) @ gains for i in range(0, max(1, len(counts)), step)]
    return _normalised(np.concatenate(sums))


def best_thresholds(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Each class's candidate with the largest F1 on these records (paper: section 2.7, on validation records).

    The paper leaves open what to do with ties and absent classes: the smallest of equally good candidates is taken,
    and 0.5 for a class without positives. An entry of several seeds uses the mean of their thresholds.

    Args:
        targets: (n, K) 0/1.
        scores: (n, K), masked if decisions will be.

    Returns:
        (K,) float64.

    Raises:
        ValueError: shapes differ, a target is neither 0 nor 1, or a score is not finite.
    """
    scores = _finite(scores)
    positive = _binary(targets, "targets")
    _same_shape(positive, scores)
    classes, levels = scores.shape[1], len(THRESHOLDS) + 1
    level = np.searchsorted(THRESHOLDS, scores, side="right")  # so many candidates does the score reach
    place = level + levels * (np.arange(classes) + classes * positive)
    records = np.bincount(place.ravel(), minlength=2 * classes * levels).reshape(2, classes, levels)
    reached = records[..., ::-1].cumsum(axis=-1)[..., ::-1]
    decided, hit, ones = reached.sum(axis=0)[:, 1:], reached[1, :, 1:], reached[1, :, :1]
    f1 = np.divide(2 * hit, decided + ones, out=np.zeros(hit.shape), where=ones > 0)
    return np.where(ones[:, 0] > 0, np.asarray(THRESHOLDS)[f1.argmax(axis=1)], 0.5)


def decide(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """(n, K) bool: the classes whose score reaches their threshold, in double precision.

    The paper leaves open whether equality decides for the class; here it does. A record may stay
    without any: the metric then gives it less than the normal class would.

    Args:
        scores: (n, K).
        thresholds: (K,).

    Raises:
        ValueError: shapes do not fit, or a score is not finite.
    """
    scores, thresholds = _finite(scores), np.asarray(thresholds, dtype=np.float64)
    if scores.ndim != 2 or thresholds.shape != scores.shape[1:]:
        raise ValueError(f"thresholds {thresholds.shape} must be one for each class of scores {scores.shape}")
    return np.asarray(scores >= thresholds)


def decision_metrics(targets: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
    """The official macro F-measure and accuracy of decisions.

    F of a class is 2 TP / (2 TP + FP + FN). Unlike `macro_f1` of `bench.metrics.classification` the mean keeps a
    class without positives, at 0, once it was decided for any record; only a class with neither is left out.

    Args:
        targets: (n, K) 0/1.
        outputs: (n, K) 0/1 decisions.

    Returns:
        macro_f, NaN if no class is left; accuracy, the share of records decided right in every class.

    Raises:
        ValueError: shapes differ, something is neither 0 nor 1, or there is no record.
    """
    positive, decided = _checked(targets, outputs)
    if not len(positive):
        raise ValueError("decision metrics need at least one record")
    hit = (positive & decided).sum(axis=0)
    both = positive.sum(axis=0) + decided.sum(axis=0)
    kept = both > 0
    macro = float((2 * hit[kept] / both[kept]).mean()) if kept.any() else float("nan")
    return {"macro_f": macro, "accuracy": float((positive == decided).all(axis=1).mean())}


def database_mask(targets: np.ndarray, databases: Sequence[str] | np.ndarray) -> dict[str, np.ndarray]:
    """Which classes each source database labels at all (paper: section 2.6).

    Give it training records: counts of others would leak. The paper leaves open whether classes are the 30 codes
    or the 26 merged ones; the columns of `targets` decide.

    Args:
        targets: (n, K) 0/1 labels of the training records.
        databases: (n,) source database of each.

    Returns:
        By database, without `UNKNOWN`: (K,) bool, False iff none of its records has the class.

    Raises:
        ValueError: shapes do not fit, or a target is neither 0 nor 1.
    """
    positive, names = _binary(targets, "targets"), np.asarray(databases, dtype=str)
    if positive.ndim != 2 or names.shape != positive.shape[:1]:
        raise ValueError(
            f"targets {positive.shape} must be (records, classes), databases {names.shape} (records,)"
        )
    return {
        str(name): positive[names == name].any(axis=0) for name in np.unique(names) if name not in UNKNOWN
    }


def mask_rows(mask: Mapping[str, np.ndarray], databases: Sequence[str] | np.ndarray) -> np.ndarray:
    """The mask of each record, to multiply its scores with: all True where the mask does not hold its database.

    The paper leaves open what a database without a mask gets. To mask at test time is to know the database there.

    Args:
        mask: (K,) bool by database, as `database_mask` gives it; if empty, K is that of `CLASSES`.
        databases: (n,) database of each record, in `UNKNOWN` where it is not known.

    Returns:
        (n, K) bool.
    """
    width = len(next(iter(mask.values()), CLASSES))
    names, member = np.unique(np.asarray(databases, dtype=str), return_inverse=True)
    everything = np.ones(width, dtype=bool)
    rows = [everything if name in UNKNOWN else mask.get(str(name), everything) for name in names]
    return np.asarray(rows, dtype=bool).reshape(-1, width)[member]


def inferred_databases(rates: np.ndarray, means: np.ndarray) -> np.ndarray:
    """The source database that the entry's two rules guess of hidden records (paper: section 2.6).

    500 Hz with the means of the leads within -0.5 to 0.5 is 'cpsc', 500 Hz otherwise 'georgia'. No other rate has
    a rule: 300 Hz is the undisclosed American database, whose mask was never given, and UMich came later.

    The rules know two databases only: a 500 Hz record of any other is taken for one of them. The paper leaves
    open the unit of the means, which must be that of the files, 0.001 mV (in mV nearly every record is within);
    whether a lead may lie outside ("typically"): here none may; and leads without a mean: here the others decide,
    and where there is none, no rule.

    Args:
        rates: (n,) Hz as on disk.
        means: (n, leads) mean of each lead of the record as read, in microvolts; NaN where unknown.

    Returns:
        (n,) str: 'cpsc', 'georgia', or '' where no rule holds.

    Raises:
        ValueError: shapes do not fit.
    """
    rates, means = np.asarray(rates), np.asarray(means, dtype=np.float64)
    if means.ndim != 2 or rates.shape != means.shape[:1]:
        raise ValueError(
            f"rates {rates.shape} and means {means.shape} must be (records,) and (records, leads)"
        )
    ruled = (rates == 500) & ~np.isnan(means).all(axis=1)
    centred = ~(np.abs(means) > 0.5).any(axis=1)
    return np.where(ruled, np.where(centred, "cpsc", "georgia"), "")


def _credits() -> np.ndarray:
    """(26, 26) int64: the weights in units of 1/80."""
    place = np.array(list(_PLACES.values()))
    credit = _UNIT // 2 - np.abs(place[:, None] - place)
    for one, other in _NOT_BY_PLACE:
        i, j = CLASSES.index(one), CLASSES.index(other)
        credit[i, j] = credit[j, i] = 38
    np.fill_diagonal(credit, _UNIT)
    return credit


def _over_inactive(contributions: np.ndarray) -> np.ndarray:
    """(n, 2) observed and correct shares above the inactive one: exactly 0 each where the normal class is right."""
    return contributions[:, [0, 2]] - contributions[:, [1]]


def _normalised(sums: np.ndarray) -> np.ndarray:
    """(...) of sums (..., 2) of what `_over_inactive` gives."""
    gained, span = np.moveaxis(sums, -1, 0)
    return np.divide(gained, span, out=np.zeros_like(span), where=span != 0)


def _checked(targets: np.ndarray, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as bool, once they are 0/1 and fit each other."""
    positive, decided = _binary(targets, "targets"), _binary(outputs, "outputs")
    _same_shape(positive, decided)
    return positive, decided


def _same_shape(targets: np.ndarray, others: np.ndarray) -> None:
    if targets.ndim != 2 or targets.shape != others.shape:
        raise ValueError(f"targets {targets.shape} and {others.shape} must both be (records, classes)")


def _binary(values: np.ndarray, what: str) -> np.ndarray:
    """As bool; scores in place of decisions would all count as positive, so they are refused."""
    values = np.asarray(values)
    positive = values.astype(bool)
    if values.dtype != np.bool_ and not np.array_equal(values, positive):
        raise ValueError(f"{what} must be 0 or 1; decide scores by thresholds first")
    return positive


def _finite(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64)
    if not np.isfinite(scores).all():
        raise ValueError(f"{int((~np.isfinite(scores)).sum())} scores are not finite; the fit diverged")
    return scores
