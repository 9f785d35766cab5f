"""Classification metrics against hand values, scikit-learn, and resamples written out record by record."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    roc_auc_score,
)

from bench.metrics.classification import (
    auroc,
    average_precision,
    bootstrap_macro_auroc,
    classification_metrics,
    macro_auroc,
    macro_auroc_10,
    macro_auroc_half,
    patient_resamples,
)


def _case(seed: int, records: int = 60, classes: int = 4, levels: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Targets with rare classes, scores on few levels so that ties abound."""
    generator = np.random.default_rng(seed)
    targets = generator.random((records, classes)) < np.linspace(0.03, 0.6, classes)
    return targets.astype(np.int8), generator.integers(0, levels, (records, classes)) / (levels - 1)


def _macro_by_sklearn(targets: np.ndarray, scores: np.ndarray) -> float:
    """Mean AUROC of the classes that have both kinds, NaN if none has."""
    values = [
        roc_auc_score(targets[:, k], scores[:, k])
        for k in range(targets.shape[1])
        if 0 < targets[:, k].sum() < len(targets)
    ]
    return float(np.mean(values)) if values else float("nan")


def test_auroc_by_hand() -> None:
    targets = np.array([[1], [0], [1], [0], [0]])
    scores = np.array([[0.9], [0.8], [0.5], [0.5], [0.1]])
    # pairs: 0.9 beats all three; 0.5 loses to 0.8, ties with 0.5, beats 0.1: (3 + 0 + 0.5 + 1) / 6
    assert auroc(targets, scores)[0] == pytest.approx(4.5 / 6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_auroc_equals_scikit_learn_with_ties(seed: int) -> None:
    targets, scores = _case(seed)
    for k, value in enumerate(auroc(targets, scores)):
        if 0 < targets[:, k].sum() < len(targets):
            assert value == pytest.approx(roc_auc_score(targets[:, k], scores[:, k]), abs=1e-12)
        else:
            assert math.isnan(value)


def test_classes_of_one_kind_are_dropped_from_the_macro_average() -> None:
    targets = np.array([[1, 0, 1, 0], [0, 0, 1, 1], [1, 0, 1, 0]])
    scores = np.array([[0.9, 0.1, 0.5, 0.7], [0.2, 0.4, 0.2, 0.6], [0.8, 0.3, 0.1, 0.1]])

    value, kept = macro_auroc(targets, scores)

    assert kept.tolist() == [True, False, False, True]
    assert value == pytest.approx((1.0 + 0.5) / 2)


def test_no_class_left_is_nan() -> None:
    value, kept = macro_auroc(np.ones((3, 2)), np.random.default_rng(0).random((3, 2)))
    assert math.isnan(value)
    assert not kept.any()


def test_an_undefined_class_counts_half() -> None:
    targets = np.array([[1, 0, 1, 0], [0, 0, 1, 1], [1, 0, 1, 0]])
    scores = np.array([[0.9, 0.1, 0.5, 0.7], [0.2, 0.4, 0.2, 0.6], [0.8, 0.3, 0.1, 0.1]])
    assert macro_auroc_half(targets, scores) == pytest.approx(
        (1.0 + 0.5 + 0.5 + 0.5) / 4
    )  # 2nd, 3rd undefined
    assert macro_auroc_half(np.ones((3, 2)), scores[:, :2]) == 0.5


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_other_macro_aurocs_equal_scikit_learn(seed: int) -> None:
    targets, scores = _case(seed, records=40)
    each, frequent = [], []
    for k in range(4):
        ones = int(targets[:, k].sum())
        each.append(roc_auc_score(targets[:, k], scores[:, k]) if 0 < ones < 40 else 0.5)
        frequent.append(10 <= ones <= 30)

    value, kept = macro_auroc_10(targets, scores)

    assert macro_auroc_half(targets, scores) == pytest.approx(np.mean(each), abs=1e-12)
    assert kept.tolist() == frequent
    expected = np.mean([area for area, enough in zip(each, frequent, strict=True) if enough] or [np.nan])
    assert value == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize(
    ("records", "ones", "kept"), [(30, 9, False), (30, 10, True), (30, 20, True), (30, 21, False)]
)
def test_ten_of_either_kind_are_enough(records: int, ones: int, kept: bool) -> None:
    targets = (np.arange(records) < ones)[:, None]
    value, found = macro_auroc_10(targets, -np.arange(records)[:, None])
    assert found.tolist() == [kept]
    assert value == 1 if kept else math.isnan(value)


def test_classification_metrics_hold_all_three_macro_aurocs() -> None:
    generator = np.random.default_rng(0)
    targets = np.arange(60)[:, None] < np.array([0, 3, 10, 30])
    scores = generator.random((60, 4))

    result = classification_metrics(targets, scores, "multi", CLASSES)

    each = [roc_auc_score(targets[:, k], scores[:, k]) for k in (1, 2, 3)]
    assert (result["kept_classes"], result["kept_classes_10"]) == (3, 2)
    assert (
        result["macro_auroc"]
        == pytest.approx(np.mean(each))
        == pytest.approx(macro_auroc(targets, scores)[0])
    )
    assert result["macro_auroc_half"] == pytest.approx((0.5 + sum(each)) / 4)
    assert result["macro_auroc_10"] == pytest.approx(np.mean(each[1:]))


def test_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="2 scores are not finite"):
        auroc(np.array([[1], [0], [0]]), np.array([[np.nan], [np.inf], [0.0]]))


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"targets \(3, 2\) and scores \(3, 1\)"):
        auroc(np.ones((3, 2)), np.ones((3, 1)))


def test_average_precision_equals_scikit_learn() -> None:
    targets, scores = _case(3)
    targets[:, 0] = 0
    values = average_precision(targets, scores)
    assert math.isnan(values[0])
    for k in (1, 2, 3):
        assert values[k] == pytest.approx(average_precision_score(targets[:, k], scores[:, k]))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), levels=st.sampled_from([2, 3, 7, 1000]))
def test_every_resample_equals_scikit_learn_on_copied_records(seed: int, levels: int) -> None:
    targets, scores = _case(seed, records=25, levels=levels)
    patients = np.random.default_rng(seed).integers(0, 15, 25)
    weights = patient_resamples(patients, 12, np.random.default_rng(seed + 1))

    values = bootstrap_macro_auroc(targets, scores, weights)

    for value, times in zip(values, weights, strict=True):
        copies = np.repeat(np.arange(25), times)
        expected = _macro_by_sklearn(targets[copies], scores[copies])
        assert value == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_a_resample_without_any_class_is_nan_and_one_class_short_drops_it() -> None:
    targets = np.array([[1, 1], [0, 1], [0, 0]])
    scores = np.array([[0.2, 0.9], [0.6, 0.3], [0.1, 0.4]])
    weights = np.array([[1, 1, 1], [2, 1, 0], [0, 0, 3]])
    values = bootstrap_macro_auroc(targets, scores, weights)
    assert values[0] == pytest.approx((0.5 + 0.5) / 2)
    assert values[1] == pytest.approx(0.0)  # class 2 has no negative left; class 1's positives lose
    assert math.isnan(values[2])


def test_weights_of_one_give_the_macro_auroc_itself() -> None:
    targets, scores = _case(5, records=400)
    values = bootstrap_macro_auroc(targets, scores, np.ones((3, 400), dtype=np.int32))
    assert values == pytest.approx(np.full(3, macro_auroc(targets, scores)[0]), abs=1e-12)


def test_blocks_of_resamples_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    targets, scores = _case(6)
    weights = patient_resamples(np.arange(60), 50, np.random.default_rng(0))
    whole = bootstrap_macro_auroc(targets, scores, weights)
    monkeypatch.setattr("bench.metrics.classification._BLOCK", 60 * 7)
    assert bootstrap_macro_auroc(targets, scores, weights).tolist() == whole.tolist()


def test_weights_must_fit_the_records() -> None:
    targets, scores = _case(1)
    with pytest.raises(ValueError, match=r"weights \(5, 59\) must be \(resamples, 60\)"):
        bootstrap_macro_auroc(targets, scores, np.ones((5, 59)))


def test_resamples_keep_a_patient_s_records_together() -> None:
    patients = np.array(["b", "a", "b", "c", "a", "b"])
    weights = patient_resamples(patients, 2000, np.random.default_rng(4))

    assert weights.shape == (2000, 6)
    for name in "abc":
        own = weights[:, patients == name]
        assert (own == own[:, :1]).all()
    drawn = weights[:, [1, 0, 3]]  # one record each of a, b, c
    assert (drawn.sum(axis=1) == 3).all()  # as many patients drawn as there are
    assert drawn.mean(axis=0) == pytest.approx(np.ones(3), abs=0.08)
    assert (drawn == 0).mean() == pytest.approx((2 / 3) ** 3, abs=0.02)


def test_resamples_repeat_with_the_generator() -> None:
    patients = np.arange(30) // 2
    first, again = (patient_resamples(patients, 5, np.random.default_rng(8)) for _ in range(2))
    assert (first == again).all()


CLASSES = ["AFIB", "GSVT", "SB", "SR"]


def _single(seed: int, records: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 4, records)
    probabilities = generator.dirichlet(np.ones(4), records) * 0.6 + np.eye(4)[truth] * 0.4
    return truth, np.eye(4)[truth], probabilities


def test_single_label_metrics_equal_scikit_learn() -> None:
    truth, targets, scores = _single(0)
    decided = scores.argmax(axis=1)

    result = classification_metrics(targets, scores, "single", CLASSES)

    assert result["macro_auroc"] == pytest.approx(roc_auc_score(targets, scores, average="macro"))
    assert result["kept_classes"] == 4
    assert result["macro_average_precision"] == pytest.approx(average_precision_score(targets, scores))
    assert result["accuracy"] == pytest.approx(accuracy_score(truth, decided))
    assert result["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, decided))
    assert result["macro_f1"] == pytest.approx(f1_score(truth, decided, average="macro"))
    assert result["log_loss"] == pytest.approx(log_loss(truth, scores))
    for k, name in enumerate(CLASSES):
        assert result[f"auroc/{name}"] == pytest.approx(roc_auc_score(targets[:, k], scores[:, k]))
        assert result[f"average_precision/{name}"] == pytest.approx(
            average_precision_score(targets[:, k], scores[:, k])
        )


def test_single_label_probability_metrics_by_hand() -> None:
    targets = np.array([[1, 0], [0, 1], [0, 1], [1, 0]])
    scores = np.array([[0.9, 0.1], [0.88, 0.12], [0.3, 0.7], [0.75, 0.25]])

    result = classification_metrics(targets, scores, "single", ["A", "B"])

    assert result["brier"] == pytest.approx(2 * (0.1**2 + 0.88**2 + 0.3**2 + 0.25**2) / 4)
    assert result["log_loss"] == pytest.approx(-(np.log([0.9, 0.12, 0.7, 0.75])).mean())
    # 15 bins: 0.9 and 0.88 share bin 13 (0.867-0.933), 0.7 lies in bin 10, 0.75 in bin 11
    gaps = abs(0.9 + 0.88 - 1), abs(0.7 - 1), abs(0.75 - 1)
    assert result["calibration_error"] == pytest.approx(sum(gaps) / 4)


def test_multi_label_metrics_by_hand() -> None:
    targets = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]])
    scores = np.array([[0.9, 0.2, 0.1], [0.4, 0.5, 0.2], [0.3, 0.9, 0.6], [0.6, 0.1, 0.1]])

    result = classification_metrics(targets, scores, "multi", ["A", "B", "C"])

    assert result["accuracy"] == 1 / 4  # only record 1 is right in every class
    # A: one of two found, one of two rejected; B: all right; C has no positives
    assert result["balanced_accuracy"] == pytest.approx((0.5 + 1.0) / 2)
    assert result["macro_f1"] == pytest.approx((0.5 + 1.0) / 2)
    assert result["macro_auroc"] == pytest.approx((0.75 + 1.0) / 2)
    assert result["kept_classes"] == 2
    assert math.isnan(result["auroc/C"])
    assert math.isnan(result["average_precision/C"])
    assert result["brier"] == pytest.approx(((scores - targets) ** 2).mean())
    right = np.where(targets == 1, scores, 1 - scores)
    assert result["log_loss"] == pytest.approx(-np.log(right).mean())


def test_multi_label_calibration_error_by_explicit_bins() -> None:
    targets, _ = _case(2, records=300)
    scores = np.random.default_rng(2).random(targets.shape)
    expected = []
    for k in range(4):
        error = 0.0
        for low in range(15):
            inside = (scores[:, k] >= low / 15) & (scores[:, k] < (low + 1) / 15)
            if inside.any():
                error += inside.mean() * abs(scores[inside, k].mean() - targets[inside, k].mean())
        expected.append(error)
    result = classification_metrics(targets, scores, "multi", CLASSES)
    assert result["calibration_error"] == pytest.approx(np.mean(expected))


def test_certainty_costs_a_finite_log_loss() -> None:
    scores = np.array([[1.0, 0.0], [0.0, 1.0]])
    right = classification_metrics(np.eye(2), scores, "single", ["A", "B"])
    wrong = classification_metrics(np.eye(2)[::-1], scores, "single", ["A", "B"])
    assert right["log_loss"] == pytest.approx(0, abs=1e-12)
    assert wrong["log_loss"] == pytest.approx(-math.log(np.finfo(float).eps))
    assert (right["calibration_error"], wrong["calibration_error"]) == (0, 1)
    assert wrong["macro_f1"] == 0


@pytest.mark.parametrize(
    ("scores", "kind", "message"),
    [
        (np.array([[2.0, -1.0]]), "multi", "scores reach from -1 to 2"),
        (np.array([[0.9, 0.9]]), "single", "must sum to 1"),
        (np.array([[0.5, 0.5]])[:0], "multi", "at least one record"),
    ],
)
def test_what_is_no_probability_is_refused(scores: np.ndarray, kind: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classification_metrics(np.ones_like(scores), scores, kind, ["A", "B"])  # type: ignore[arg-type]
