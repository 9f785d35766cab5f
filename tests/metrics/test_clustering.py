"""Clustering metrics against hand values, exhaustive search, scikit-learn, and the specification's floors."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score

from bench.metrics.classification import patient_resamples
from bench.metrics.clustering import (
    acc_interval,
    ami,
    clustering_floors,
    clustering_metrics,
    contingency,
    fit_hungarian,
    fit_majority,
)

CHAPMAN = (0.209, 0.217, 0.365, 0.209)
PTBXL = (0.105, 0.033, 0.156, 0.558, 0.148)
ACCURACIES = ("acc", "acc_hungarian", "acc_oracle", "acc_majority", "acc_identity")


def _part(seed: int, units: int, clusters: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids that partly follow the values."""
    generator = np.random.default_rng(seed)
    values = generator.integers(0, count, units)
    ids = np.where(generator.random(units) < 0.4, values % clusters, generator.integers(0, clusters, units))
    return ids, values


def _of_priors(priors: tuple[float, ...], units: int) -> np.ndarray:
    """Values in the proportions of the priors."""
    return np.repeat(np.arange(len(priors)), np.round(np.array(priors) * units).astype(int))


def _best_one_to_one(ids: np.ndarray, values: np.ndarray, clusters: int, count: int) -> float:
    """Accuracy of the best one-to-one map, by trying all of them; spare ids get values that do not exist."""
    wide = max(clusters, count)
    maps = itertools.permutations(range(wide), clusters)
    return max(float((np.array(of)[ids] == values).mean()) for of in maps)


def test_contingency_by_hand() -> None:
    table = contingency(np.array([0, 0, 2, 2, 2]), np.array([1, 1, 0, 1, 0]), 3, 2)
    assert table.tolist() == [[0, 2], [0, 0], [2, 1]]


@pytest.mark.parametrize(
    ("ids", "values", "message"),
    [
        ([0, 1], [0, -1], r"values reach from -1 to 0; drop or correct what is outside \[0, 2\)"),
        ([0, 1], [0, 2], r"values reach from 0 to 2"),
        ([0, 3], [0, 1], r"ids reach from 0 to 3; drop or correct what is outside \[0, 3\)"),
        ([0, 1, 2], [0, 1], r"ids \(3,\) and values \(2,\)"),
    ],
)
def test_what_is_out_of_range_is_refused(ids: list[int], values: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        contingency(np.array(ids), np.array(values), 3, 2)


def test_hungarian_by_hand() -> None:
    # id 0 and id 1 both prefer value 0; one-to-one, it is better to give it to id 0 (5 + 2) than to id 1 (1 + 3)
    ids = np.repeat([0, 1], [6, 5])
    values = np.array([0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1])
    assert fit_hungarian(ids, values, 2, 2).tolist() == [0, 1]
    assert fit_majority(ids, values, 2, 2).tolist() == [0, 0]


def test_ids_left_over_or_never_seen_have_no_value() -> None:
    ids, values = np.array([0, 0, 0, 1, 1, 3]), np.array([0, 0, 0, 1, 1, 1])
    assert fit_hungarian(ids, values, 5, 2).tolist() == [0, 1, -1, -1, -1]
    assert fit_majority(ids, values, 5, 2).tolist() == [0, 1, -1, 1, -1]
    assert fit_hungarian(np.array([1, 1]), np.array([2, 2]), 2, 4).tolist() == [-1, 2]


def test_majority_takes_the_lowest_of_equal_values() -> None:
    assert fit_majority(np.zeros(4, int), np.array([2, 1, 2, 1]), 1, 3).tolist() == [1]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), clusters=st.integers(1, 5), count=st.integers(1, 4))
def test_oracle_is_the_best_of_all_one_to_one_maps(seed: int, clusters: int, count: int) -> None:
    ids, values = _part(seed, 30, clusters, count)
    result = clustering_metrics(ids, values, ids, values, clusters, count)
    assert result["acc_oracle"] == pytest.approx(_best_one_to_one(ids, values, clusters, count))
    assert result["acc"] == result["acc_hungarian"] == result["acc_oracle"]  # fitted and judged on one part


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), clusters=st.integers(1, 7), count=st.integers(2, 5))
def test_every_accuracy_equals_its_map_applied_unit_by_unit(seed: int, clusters: int, count: int) -> None:
    train_ids, train_values = _part(seed, 80, clusters, count)
    ids, values = _part(seed + 1, 50, clusters, count)
    result = clustering_metrics(train_ids, train_values, ids, values, clusters, count)
    maps = {
        "acc": fit_hungarian(train_ids, train_values, clusters, count),
        "acc_hungarian": fit_hungarian(train_ids, train_values, clusters, count),
        "acc_oracle": fit_hungarian(ids, values, clusters, count),
        "acc_majority": fit_majority(train_ids, train_values, clusters, count),
        "acc_identity": np.arange(clusters),
    }
    for name, of in maps.items():
        hits = [of[i] == v for i, v in zip(ids, values, strict=True)]
        assert result[name] == pytest.approx(np.mean(hits)), name
    mapped = maps["acc"][ids]
    assert result["ami_mapped"] == pytest.approx(ami(mapped, values), abs=1e-12)


def test_permuted_perfect_labels_are_right_but_not_by_identity() -> None:
    values = np.tile(np.arange(4), 50)
    ids = np.array([2, 3, 1, 0])[values]
    result = clustering_metrics(ids, values, ids, values, 4, 4)
    for name in ("acc", "acc_hungarian", "acc_oracle", "acc_majority", "ami", "ami_mapped", "usage_entropy"):
        assert result[name] == pytest.approx(1.0), name
    assert result["acc_identity"] == 0.0
    assert result["largest_share"] == 0.25


def test_identity_is_chance_over_all_permutations() -> None:
    values = _of_priors(CHAPMAN, 1000)
    each = [
        clustering_metrics(np.array(of)[values], values, np.array(of)[values], values, 4, 4)["acc_identity"]
        for of in itertools.permutations(range(4))
    ]
    assert np.mean(each) == pytest.approx(0.25)


def test_constant_ids() -> None:
    values = _of_priors(CHAPMAN, 1000)
    result = clustering_metrics(np.zeros(1000, int), values, np.zeros(1000, int), values, 4, 4)
    assert result["ami"] == result["ami_mapped"] == 0.0
    assert result["acc_identity"] == pytest.approx(0.209)
    assert result["acc"] == result["acc_oracle"] == result["acc_majority"] == pytest.approx(0.365)
    assert (result["used"], result["usage_entropy"], result["largest_share"]) == (1.0, 0.0, 1.0)


def test_prototypes_are_read_off_and_several_of_a_value_are_not_punished() -> None:
    value_of_id = np.array([0, 0, 1, 1, 2, -1])
    ids, values = np.array([0, 1, 1, 2, 3, 4, 5, 5]), np.array([0, 0, 0, 1, 1, 2, 2, 2])
    result = clustering_metrics(ids, values, ids, values, 6, 3, value_of_id)
    assert result["acc"] == result["acc_identity"] == result["acc_hungarian"] == result["acc_oracle"] == 6 / 8
    assert result["acc_majority"] == 1.0  # id 5 stands for nothing, but its units are all of value 2
    assert result["ami"] == pytest.approx(adjusted_mutual_info_score(values, ids))
    assert result["ami_mapped"] == pytest.approx(adjusted_mutual_info_score(values, value_of_id[ids]))
    assert (result["used"], result["largest_share"]) == (6.0, 0.25)
    # without the read-off, a value is given to one of its prototypes only: 2 + 1 + 2 of 8
    assert clustering_metrics(ids, values, ids, values, 6, 3)["acc"] == 5 / 8


def test_hungarian_hides_prototypes_of_the_wrong_value_and_the_headline_does_not() -> None:
    value_of_id = np.array([1, 1, 0])
    values = np.array([0, 0, 0, 1, 1])
    result = clustering_metrics(
        np.array([0, 1, 0, 2, 2]), values, np.array([0, 1, 0, 2, 2]), values, 3, 2, value_of_id
    )
    assert result["acc"] == result["acc_identity"] == 0.0
    assert result["acc_hungarian"] == result["acc_oracle"] == 1.0


def test_value_of_id_must_fit() -> None:
    ones = np.zeros(2, int)
    with pytest.raises(ValueError, match=r"value_of_id \(3,\) must be \(2,\)"):
        clustering_metrics(ones, ones, ones, ones, 2, 2, np.array([0, 1, 1]))
    with pytest.raises(ValueError, match="value_of_id reach from 0 to 2"):
        clustering_metrics(ones, ones, ones, ones, 2, 2, np.array([0, 2]))


def test_a_part_without_units_is_refused() -> None:
    one, none = np.zeros(1, int), np.zeros(0, int)
    with pytest.raises(ValueError, match="1 training and 0 evaluated units"):
        clustering_metrics(one, one, none, none, 2, 2)
    with pytest.raises(ValueError, match="floors need at least one unit"):
        clustering_floors(one, none, 2, seed=0)


def test_usage_entropy_by_hand() -> None:
    ids = np.array([0, 0, 1, 2])
    result = clustering_metrics(ids, ids, ids, ids, 4, 4)
    assert result["usage_entropy"] == pytest.approx(1.5 * np.log(2) / np.log(4))
    assert (result["used"], result["largest_share"]) == (3.0, 0.5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), clusters=st.integers(2, 9), count=st.integers(2, 5))
def test_ami_equals_scikit_learn_and_ignores_names(seed: int, clusters: int, count: int) -> None:
    ids, values = _part(seed, 60, clusters, count)
    assert ami(ids, values) == pytest.approx(adjusted_mutual_info_score(values, ids), abs=1e-12)
    assert ami(values, ids) == pytest.approx(ami(ids, values), abs=1e-12)


def test_ami_finds_nothing_in_constants() -> None:
    some = np.array([0, 1, 1, 2])
    assert ami(np.zeros(4, int), some) == ami(some, np.ones(4, int)) == ami(np.zeros(4), np.zeros(4)) == 0.0
    with pytest.raises(ValueError, match="at least one unit"):
        ami(np.zeros(0), np.zeros(0))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), clusters=st.integers(1, 8), count=st.integers(2, 5))
def test_permuted_ids_change_only_identity(seed: int, clusters: int, count: int) -> None:
    ids, values = _part(seed, 90, clusters, count)
    other, other_values = _part(seed + 1, 40, clusters, count)
    order = np.random.default_rng(seed).permutation(clusters)
    plain = clustering_metrics(ids, values, ids, values, clusters, count)
    permuted = clustering_metrics(order[ids], values, order[ids], values, clusters, count)
    for name in plain.keys() - {
        "acc_identity",
        "ami_mapped",
    }:  # which of equally good maps is taken may differ
        assert permuted[name] == pytest.approx(plain[name], abs=1e-12), name
    across = clustering_metrics(ids, values, other, other_values, clusters, count)
    moved = clustering_metrics(order[ids], values, order[other], other_values, clusters, count)
    for name in ("acc_oracle", "acc_majority", "ami", "used", "usage_entropy", "largest_share"):
        assert moved[name] == pytest.approx(across[name], abs=1e-12), name


def test_constant_and_majority_floors_by_hand() -> None:
    train, part = np.repeat([0, 1, 2], [3, 2, 5]), np.repeat([0, 1, 2], [2, 5, 3])
    floors = clustering_floors(train, part, 3, seed=0)
    constant, majority = floors["constant"], floors["majority"]
    assert constant["acc"] == constant["acc_identity"] == 0.2
    assert constant["acc_hungarian"] == constant["acc_majority"] == 0.3  # value 2 leads in train
    assert majority["acc"] == majority["acc_hungarian"] == majority["acc_identity"] == 0.3
    for row in (constant, majority):
        assert row["acc_oracle"] == 0.5
        assert row["ami"] == row["ami_mapped"] == 0.0
        assert row["used"] == 1.0
    assert constant.keys() == majority.keys() == floors["random"].keys()
    assert constant.keys() == clustering_metrics(part, part, part, part, 3, 3).keys()


@pytest.mark.parametrize(
    ("priors", "units", "identity", "oracle", "majority"),
    [
        (CHAPMAN, 2129, 0.251, 0.268, 0.365),
        (CHAPMAN, 4258, 0.250, 0.262, 0.366),
        (CHAPMAN, 17032, 0.250, 0.256, 0.365),
        (PTBXL, 3250, 0.200, 0.216, 0.558),
        (PTBXL, 6500, 0.200, 0.211, 0.558),
    ],
)
def test_random_floors_are_the_specification_s(
    priors: tuple[float, ...], units: int, identity: float, oracle: float, majority: float
) -> None:
    values = _of_priors(priors, units)
    random = clustering_floors(_of_priors(priors, 3 * units), values, len(priors), seed=1)["random"]
    assert random["acc_identity"] == pytest.approx(identity, abs=0.002)
    assert random["acc_oracle"] == pytest.approx(
        oracle, abs=0.001
    )  # the specification's Hungarian: on the part
    assert random["acc_majority"] == pytest.approx(majority, abs=0.002)
    assert random["acc"] == random["acc_hungarian"] == pytest.approx(1 / len(priors), abs=0.002)
    assert random["ami"] == pytest.approx(0, abs=0.002)
    assert random["used"] == len(priors)


def test_drawn_tables_are_uniform_ids_unit_by_unit() -> None:
    values = _of_priors(CHAPMAN, 300)
    floors = clustering_floors(values, values, 4, seed=3, draws=400)["random"]
    generator = np.random.default_rng(4)
    rows = []
    for _ in range(400):
        train_ids, ids = generator.integers(0, 4, (2, len(values)))
        rows.append(clustering_metrics(train_ids, values, ids, values, 4, 4))
    for name in (*ACCURACIES, "largest_share", "usage_entropy"):
        each = np.array([row[name] for row in rows])
        assert floors[name] == pytest.approx(each.mean(), abs=6 * each.std() / 20), name


def test_floors_are_a_function_of_the_seed() -> None:
    values = _of_priors(CHAPMAN, 100)
    first, again, other = (clustering_floors(values, values, 4, seed=seed, draws=20) for seed in (1, 1, 2))
    assert first == again
    assert first["random"] != other["random"]
    assert first["constant"] == other["constant"]


def test_interval_equals_resamples_written_out() -> None:
    generator = np.random.default_rng(0)
    correct, patients = generator.random(60) < 0.7, generator.integers(0, 20, 60)
    weights = patient_resamples(patients, 300, generator)
    each = [correct[np.repeat(np.arange(60), times)].mean() for times in weights]
    assert acc_interval(correct, weights) == pytest.approx(tuple(np.quantile(each, [0.025, 0.975])))


def test_interval_of_a_perfect_clustering_is_a_point_and_is_wider_over_few_patients() -> None:
    generator = np.random.default_rng(1)
    own = patient_resamples(np.arange(200), 500, generator)
    assert acc_interval(np.ones(200, bool), own) == (1.0, 1.0)
    correct = np.repeat(generator.random(20) < 0.5, 10)  # a patient's units are right or wrong together
    low, high = acc_interval(correct, own)
    wide_low, wide_high = acc_interval(
        correct, patient_resamples(np.repeat(np.arange(20), 10), 500, generator)
    )
    assert wide_high - wide_low > 2 * (high - low)
    assert low < correct.mean() < high


def test_interval_weights_must_fit() -> None:
    with pytest.raises(ValueError, match=r"weights \(2, 3\) must be \(resamples, 4\)"):
        acc_interval(np.ones(4, bool), np.ones((2, 3)))
