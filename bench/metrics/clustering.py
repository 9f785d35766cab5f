"""Clustering metrics of stored assignments: accuracy under four mappings of ids to values, and AMI.

All of them are functions of two tables, ids by values, of the training and of the evaluated part; the floors run
the same functions on drawn tables. CROCS (Kiyasseh et al., NeurIPS 2021) does not say how unsupervised ids became
classes; two of its rows equal the share of class 0, hence the constant floor and `acc_identity`.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_mutual_info_score

VERSION = 1
"""Raise it when any number below changes: metric views are cached by it."""

AMI_DRAWS = 5
"""Draws over which the random floor averages AMI, whose expectation is 0 by construction."""


def contingency(ids: np.ndarray, values: np.ndarray, clusters: int, count: int) -> np.ndarray:
    """How many units have each id and each value.

    Args:
        ids: (n,) cluster of each unit, in [0, clusters).
        values: (n,) true value of each unit, in [0, count); drop unknown ones beforehand.
        clusters: number of ids.
        count: number of values.

    Returns:
        (clusters, count) int64.

    Raises:
        ValueError: lengths differ, or an id or value is outside its range.
    """
    ids, values = np.asarray(ids), np.asarray(values)
    if ids.ndim != 1 or ids.shape != values.shape:
        raise ValueError(f"ids {ids.shape} and values {values.shape} must both be (units,)")
    _check_range("ids", ids, 0, clusters)
    _check_range("values", values, 0, count)
    cells = ids.astype(np.int64) * count + values.astype(np.int64)
    return np.bincount(cells, minlength=clusters * count).reshape(clusters, count)


def fit_hungarian(ids: np.ndarray, values: np.ndarray, clusters: int, count: int) -> np.ndarray:
    """One-to-one map of ids to values with the highest agreement.

    Args:
        ids: (n,) in [0, clusters).
        values: (n,) in [0, count).
        clusters: number of ids, which may differ from `count`.
        count: number of values.

    Returns:
        (clusters,) value of each id; -1, always wrong, for an id left without a value or never seen.

    Raises:
        ValueError: as `contingency`.
    """
    return _hungarian(contingency(ids, values, clusters, count))


def fit_majority(ids: np.ndarray, values: np.ndarray, clusters: int, count: int) -> np.ndarray:
    """Many-to-one map of each id to its most frequent value, ties to the lowest.

    Args:
        ids: (n,) in [0, clusters).
        values: (n,) in [0, count).
        clusters: number of ids.
        count: number of values.

    Returns:
        (clusters,) value of each id; -1, always wrong, for an id never seen.

    Raises:
        ValueError: as `contingency`.
    """
    return _majority(contingency(ids, values, clusters, count))


def ami(ids: np.ndarray, values: np.ndarray) -> float:
    """Adjusted mutual information, normalised by the mean of the two entropies (CROCS, equation 4).

    0 where ids or values are constant (scikit-learn says 1 where both are, although nothing was found).

    Args:
        ids: (n,) any whole numbers.
        values: (n,) any whole numbers.

    Raises:
        ValueError: lengths differ or there is no unit.
    """
    ids, values = np.asarray(ids), np.asarray(values)
    if ids.ndim != 1 or ids.shape != values.shape or not len(ids):
        raise ValueError(
            f"ids {ids.shape} and values {values.shape} must both be (units,), at least one unit"
        )
    if (ids == ids[0]).all() or (values == values[0]).all():
        return 0.0
    return float(adjusted_mutual_info_score(values, ids, average_method="arithmetic"))


def clustering_metrics(
    train_ids: np.ndarray,
    train_values: np.ndarray,
    ids: np.ndarray,
    values: np.ndarray,
    clusters: int,
    count: int,
    value_of_id: np.ndarray | None = None,
) -> dict[str, float]:
    """Every clustering metric of one attribute on one evaluated part, as fractions.

    Args:
        train_ids: (n_train,) in [0, clusters); the mappings are fitted on these.
        train_values: (n_train,) in [0, count).
        ids: (n,) in [0, clusters), of the evaluated part.
        values: (n,) in [0, count).
        clusters: number of ids.
        count: number of values of the attribute.
        value_of_id: (clusters,) what each id stands for by construction (clinical prototypes), -1 for
            nothing; None where ids have no meaning of their own.

    Returns:
        acc: the headline: by `value_of_id`, or without it `acc_hungarian`.
        acc_hungarian: one-to-one, fitted on train; with `value_of_id`, on the values read off, so that
            several prototypes of a value are not punished.
        acc_oracle: as `acc_hungarian`, but fitted on the evaluated part itself: optimistic.
        acc_majority: many-to-one on raw ids, fitted on train.
        acc_identity: the id (or what it stands for) taken as the value; ids >= count are wrong.
        ami, ami_mapped: of raw ids; of the headline's values, ids without a value being one group.
        used, usage_entropy, largest_share: ids that occur; entropy of their shares over log(clusters), 0 for
            one cluster; share of the most frequent id.

    Raises:
        ValueError: as `contingency`; a part has no unit; `value_of_id` does not fit.
    """
    train = contingency(train_ids, train_values, clusters, count)
    table = contingency(ids, values, clusters, count)
    if not train.any() or not table.any():
        raise ValueError(f"{train.sum()} training and {table.sum()} evaluated units; each part needs one")
    if value_of_id is not None:
        value_of_id = np.asarray(value_of_id)
        _check_range("value_of_id", value_of_id, -1, count)
        if value_of_id.shape != (clusters,):
            raise ValueError(f"value_of_id {value_of_id.shape} must be ({clusters},), one value an id")
    maps = _mappings(train, table, value_of_id)
    return _accuracies(table, maps) | _agreement(table, maps["acc"]) | _usage(table)


def clustering_floors(
    train_values: np.ndarray, values: np.ndarray, count: int, seed: int, draws: int = 200
) -> dict[str, dict[str, float]]:
    """What assignments reach that know nothing of the signal: the floors beside every clustering table.

    Random tables are drawn directly: the ids of the units of one value are multinomial, which is exact and
    costs the same for any number of units.

    Args:
        train_values: (n_train,) in [0, count).
        values: (n,) in [0, count), of the evaluated part.
        count: number of values.
        seed: of the random ids.
        draws: of random ids for both parts.

    Returns:
        The keys of `clustering_metrics` for each of: constant (every unit is said to be of value 0);
        majority (of train's most frequent value); random (uniform ids, as many as values, without meaning:
        mean over the draws, of the two AMIs over the first `AMI_DRAWS`).

    Raises:
        ValueError: as `clustering_metrics`.
    """
    of_train, of_part = (_counts(part, count) for part in (train_values, values))
    rows = {"constant": 0, "majority": int(of_train.argmax())}
    floors = {name: _one_value(value, of_train, of_part) for name, value in rows.items()}
    generator = np.random.default_rng(seed)
    tables = [_random_tables(part, draws, generator) for part in (of_train, of_part)]
    return floors | {"random": _random_floor(*tables)}


def acc_interval(correct: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """95 % percentile bootstrap interval of an accuracy, over patients.

    Args:
        correct: (n,) bool, whether each unit is right.
        weights: (B, n) how often each unit is in each resample (`classification.patient_resamples`).

    Raises:
        ValueError: shapes do not fit or there is no resample.
    """
    correct = np.asarray(correct, dtype=bool)
    if correct.ndim != 1 or weights.ndim != 2 or weights.shape[1] != len(correct) or not weights.size:
        raise ValueError(f"weights {weights.shape} must be (resamples, {correct.size}), none of them 0")
    accuracy = (weights @ correct.astype(weights.dtype)) / weights.sum(axis=1)
    low, high = np.percentile(accuracy, [2.5, 97.5])
    return float(low), float(high)


def _hungarian(table: np.ndarray) -> np.ndarray:
    """(clusters,) one-to-one map of a table; -1 for rows left over or empty."""
    rows, columns = linear_sum_assignment(table, maximize=True)
    mapping = np.full(len(table), -1)
    mapping[rows] = columns
    return np.where(table.any(axis=1), mapping, -1)


def _majority(table: np.ndarray) -> np.ndarray:
    """(clusters,) most frequent value of each row; -1 for empty rows."""
    return np.where(table.any(axis=1), table.argmax(axis=1), -1)


def _mappings(train: np.ndarray, table: np.ndarray, value_of_id: np.ndarray | None) -> dict[str, np.ndarray]:
    """(clusters,) value of each id for each kind of accuracy, -1 for none."""
    fitted = _hungarian_of_values(train, value_of_id)
    ids = np.arange(len(table))
    identity = np.where(ids < table.shape[1], ids, -1) if value_of_id is None else value_of_id
    return {
        "acc": fitted if value_of_id is None else value_of_id,
        "acc_hungarian": fitted,
        "acc_oracle": _hungarian_of_values(table, value_of_id),
        "acc_majority": _majority(train),
        "acc_identity": identity,
    }


def _hungarian_of_values(table: np.ndarray, value_of_id: np.ndarray | None) -> np.ndarray:
    """(clusters,) Hungarian map of ids, or of the values they stand for."""
    if value_of_id is None:
        return _hungarian(table)
    known = value_of_id >= 0
    read_off = np.zeros((table.shape[1], table.shape[1]), dtype=table.dtype)
    np.add.at(read_off, value_of_id[known], table[known])
    return np.append(_hungarian(read_off), -1)[value_of_id]  # -1 takes the last: no value


def _accuracies(table: np.ndarray, mappings: dict[str, np.ndarray]) -> dict[str, float]:
    """Share of the table's units whose id is mapped to their value, under each mapping."""
    ids, total = np.arange(len(table)), table.sum()
    hits = {name: np.where(of >= 0, table[ids, of], 0).sum() for name, of in mappings.items()}
    return {name: float(hit / total) for name, hit in hits.items()}


def _agreement(table: np.ndarray, headline: np.ndarray) -> dict[str, float]:
    cells = np.indices(table.shape).reshape(2, -1)
    ids, values = np.repeat(cells, table.ravel(), axis=1)
    return {"ami": ami(ids, values), "ami_mapped": ami(headline[ids], values)}


def _usage(table: np.ndarray) -> dict[str, float]:
    shares = table.sum(axis=1) / table.sum()
    used = shares[shares > 0]
    entropy = -(used * np.log(used)).sum() / np.log(len(shares)) if len(used) > 1 else 0.0
    return {"used": float(len(used)), "usage_entropy": float(entropy), "largest_share": float(shares.max())}


def _counts(values: np.ndarray, count: int) -> np.ndarray:
    """(count,) units of each value, of a part that has any."""
    counts = contingency(np.zeros_like(values), values, 1, count)[0]
    if not counts.any():
        raise ValueError("floors need at least one unit of known value in each part; got none")
    return counts


def _one_value(value: int, of_train: np.ndarray, of_part: np.ndarray) -> dict[str, float]:
    """Metrics where every unit of both parts is said to be of one value."""
    train, table = np.zeros((2, len(of_part), len(of_part)), dtype=np.int64)
    train[value], table[value] = of_train, of_part
    maps = _mappings(train, table, np.arange(len(of_part)))
    return _accuracies(table, maps) | _agreement(table, maps["acc"]) | _usage(table)


def _random_tables(counts: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
    """(draws, count, count) tables of uniform ids by values."""
    uniform = np.full(len(counts), 1 / len(counts))
    return np.stack([generator.multinomial(n, uniform, size=draws) for n in counts], axis=2)


def _random_floor(trains: np.ndarray, tables: np.ndarray) -> dict[str, float]:
    maps = [_mappings(train, table, None) for train, table in zip(trains, tables, strict=True)]
    plain = [_accuracies(table, of) | _usage(table) for table, of in zip(tables, maps, strict=True)]
    agreement = [_agreement(table, of["acc"]) for table, of in zip(tables[:AMI_DRAWS], maps, strict=False)]
    return _mean(plain) | _mean(agreement)


def _mean(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _check_range(name: str, numbers: np.ndarray, low: int, high: int) -> None:
    if len(numbers) and (numbers.min() < low or numbers.max() >= high):
        extent = f"{name} reach from {numbers.min()} to {numbers.max()}"
        raise ValueError(f"{extent}; drop or correct what is outside [{low}, {high})")
