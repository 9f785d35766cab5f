"""Label subsets: by patient, by folds and by units; nested, proportional, blind to the order of rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.corpus import CorpusError
from bench.data.splits import (
    SkipFraction,
    check_label_subset,
    fold_subset,
    label_subset,
    rarest_class,
    unit_subset,
)
from tests.data.cohorts import CLASSES, make_cohort, strata_of
from tests.realdata import realdata


def test_a_patient_s_stratum_is_their_rarest_class() -> None:
    patients = np.array(["b", "a", "a", "c", "d", "e"])
    targets = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 0], [1, 1, 0]])
    # patients a class: A 3 (a, b, e), B 3 (a, c, e), C 1 (c); the tie of A and B goes to A
    assert rarest_class(patients, targets).to_dict() == {"a": 0, "b": 0, "c": 2, "d": -1, "e": 0}


def _part(patients: int, cohort: int) -> tuple[np.ndarray, np.ndarray, pd.DataFrame, dict[str, str]]:
    """Rows 1000, 1001, ... of a part, their patients and targets, and the patients' strata."""
    records, targets = make_cohort(patients, cohort)
    owner = records.set_index("record")["patient"]
    strata = strata_of(records, targets)
    return np.arange(1000, 1000 + len(targets)), owner[targets.index].to_numpy(), targets, strata


@settings(max_examples=20, deadline=None)
@given(
    cohort=st.integers(0, 10_000),
    seed=st.integers(0, 10_000),
    fractions=st.lists(st.floats(0.001, 1), min_size=2, max_size=5),
)
def test_label_subsets_nest_and_are_proportional(cohort: int, seed: int, fractions: list[float]) -> None:
    rows, patients, targets, strata = _part(90, cohort)
    smaller: set[int] = set()
    for fraction in sorted(fractions):
        subset = label_subset(rows, patients, targets, fraction, seed)
        assert smaller <= set(subset)
        smaller = set(subset)
        chosen = set(patients[np.isin(rows, subset)])
        assert len(chosen) >= 1
        assert not chosen & set(patients[~np.isin(rows, subset)])  # a patient with all records or none
        for name in CLASSES:
            size = sum(stratum == name for stratum in strata.values())
            assert abs(sum(strata[patient] == name for patient in chosen) - fraction * size) <= 1


@settings(max_examples=20, deadline=None)
@given(cohort=st.integers(0, 10_000), seed=st.integers(0, 100), fraction=st.floats(0.01, 1))
def test_the_order_of_rows_changes_no_label_subset(cohort: int, seed: int, fraction: float) -> None:
    rows, patients, targets, _ = _part(60, cohort)
    order = np.random.default_rng(seed).permutation(len(rows))

    subset = label_subset(rows, patients, targets, fraction, seed)
    other = label_subset(rows[order], patients[order], targets.iloc[order], fraction, seed)

    assert set(subset) == set(other)
    assert subset.tolist() == sorted(subset)  # in the order of the rows given


def test_all_labels_at_fraction_one() -> None:
    rows, patients, targets, _ = _part(50, 1)
    assert label_subset(rows, patients, targets, 1.0, 7).tolist() == rows.tolist()


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01])
def test_a_fraction_outside_is_refused(fraction: float) -> None:
    rows, patients, targets, _ = _part(50, 1)
    with pytest.raises(ValueError, match="must be above 0 and at most 1"):
        label_subset(rows, patients, targets, fraction, 7)


def _four_classes(sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """One record a patient, `sizes` patients a class."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    targets = pd.DataFrame(np.eye(len(sizes), dtype="int8")[labels], columns=["NORM", "MI", "CD", "HYP"])
    return np.arange(len(labels)), np.array([f"p{i}" for i in range(len(labels))]), targets


def test_one_per_cent_of_900_patients_holds_two_of_each_class() -> None:
    part = _four_classes((400, 200, 150, 150))

    subset = label_subset(*part, 0.01, 3)

    assert part[2].iloc[subset].sum().tolist() == [4, 2, 2, 2]
    check_label_subset(subset, *part, 0.01)


def test_seeds_draw_different_patients() -> None:
    part = _four_classes((400, 200, 150, 150))
    assert len({tuple(label_subset(*part, 0.01, seed)) for seed in range(5)}) == 5


def test_a_class_with_too_few_patients_is_named() -> None:
    part = _four_classes((400, 200, 150, 149))
    subset = label_subset(*part, 0.01, 3)
    with pytest.raises(SkipFraction) as skipped:
        check_label_subset(subset, *part, 0.01)
    assert skipped.value.reason == "label fraction 0.01 leaves class HYP with 1 patient (2 needed)"


def test_the_other_short_classes_are_counted() -> None:
    part = _four_classes((400, 40, 40, 40))
    with pytest.raises(
        SkipFraction, match=r"class MI with 0 patients \(2 needed\), and 2 more of 4 classes with too few"
    ):
        check_label_subset(label_subset(*part, 0.01, 3), *part, 0.01)


def test_a_class_that_is_short_in_the_whole_part_is_let_pass() -> None:
    part = _four_classes((400, 200, 200, 1))
    check_label_subset(label_subset(*part, 0.01, 3), *part, 0.01)


def test_a_tiny_part_still_gives_one_patient() -> None:
    part = _four_classes((3, 2, 0, 0))
    small, larger = (label_subset(*part, fraction, 0) for fraction in (0.001, 0.2))
    assert len(small) == 1
    assert set(small) <= set(larger)


def test_a_label_subset_is_what_stored_results_were_drawn_from() -> None:
    part = _four_classes((9, 6, 5, 4))
    assert label_subset(*part, 0.25, 3).tolist() == [0, 5, 12, 13, 18, 22]
    assert label_subset(*part, 0.5, 3).tolist() == [0, 2, 3, 5, 6, 11, 12, 13, 16, 17, 18, 22, 23]


FOLDS = (2, 3, 5, 8)  # not consecutive: fold numbers are names


def _folded(
    patients: int, cohort: int, folds: tuple[int, ...] = FOLDS
) -> tuple[np.ndarray, np.ndarray, np.ndarray, pd.DataFrame]:
    """Rows of a part, their patients, their folds (one a patient, each at least once) and targets."""
    rows, owners, targets, _ = _part(patients, cohort)
    names = np.unique(owners)
    drawn = np.random.default_rng(cohort).permutation(np.resize(folds, len(names)))
    return rows, owners, pd.Series(owners).map(dict(zip(names, drawn, strict=True))).to_numpy(), targets


@settings(max_examples=20, deadline=None)
@given(cohort=st.integers(0, 10_000), seed=st.integers(0, 100), count=st.integers(1, 4))
def test_a_share_of_folds_is_the_first_folds_whatever_the_seed(cohort: int, seed: int, count: int) -> None:
    rows, patients, folds, targets = _folded(60, cohort)

    subset = fold_subset(rows, patients, folds, targets, count / 4, seed)

    first = FOLDS[:count]
    assert subset.tolist() == [row for row, fold in zip(rows, folds, strict=True) if fold in first]


@settings(max_examples=20, deadline=None)
@given(
    cohort=st.integers(0, 10_000),
    seed=st.integers(0, 10_000),
    fractions=st.lists(st.floats(0.001, 0.249), min_size=1, max_size=4),
)
def test_below_one_fold_patients_are_drawn_within_the_first(
    cohort: int, seed: int, fractions: list[float]
) -> None:
    rows, patients, folds, targets = _folded(120, cohort)
    strata = rarest_class(patients[folds == 2], targets[folds == 2].to_numpy())
    smaller: set[int] = set()
    for fraction in [*sorted(fractions), 0.25, 0.5, 0.75, 1]:
        subset = set(fold_subset(rows, patients, folds, targets, fraction, seed))
        assert smaller <= subset
        smaller = subset
        inside = np.isin(rows, list(subset))
        assert inside.any()
        assert not set(patients[inside]) & set(patients[~inside])  # a patient with all records or none
        if fraction < 0.25:
            assert set(folds[inside]) == {2}
            drawn = strata[np.unique(patients[inside])].value_counts()
            for stratum, size in strata.value_counts().items():
                assert abs(drawn.get(stratum, 0) - 4 * fraction * size) <= 1


@settings(max_examples=20, deadline=None)
@given(cohort=st.integers(0, 10_000), seed=st.integers(0, 100), fraction=st.sampled_from([0.05, 0.1, 0.5]))
def test_the_order_of_rows_changes_no_fold_subset(cohort: int, seed: int, fraction: float) -> None:
    rows, patients, folds, targets = _folded(80, cohort)
    order = np.random.default_rng(seed).permutation(len(rows))

    subset = fold_subset(rows, patients, folds, targets, fraction, seed)
    other = fold_subset(rows[order], patients[order], folds[order], targets.iloc[order], fraction, seed)

    assert subset.tolist() == sorted(subset)  # in the order of the rows given
    assert other.tolist() == [row for row in rows[order] if row in set(subset)]


def test_seeds_draw_different_patients_below_one_fold() -> None:
    part = _folded(120, 5)
    assert len({tuple(fold_subset(*part, 0.1, seed)) for seed in range(5)}) == 5


def test_a_part_of_one_fold_is_drawn_by_patient() -> None:
    rows, patients, folds, targets = _folded(60, 3, (9,))
    for fraction in (0.1, 0.3, 1.0):
        drawn = label_subset(rows, patients, targets, fraction, 4)
        assert fold_subset(rows, patients, folds, targets, fraction, 4).tolist() == drawn.tolist()


def test_ptbxl_s_folds_give_the_published_sizes() -> None:
    sizes = (2175, 2181, 2192, 2174, 2174, 2173, 2176, 2173)
    folds = np.repeat(np.arange(1, 9), sizes)[::-1]
    rows = np.arange(len(folds))
    targets = pd.DataFrame({"A": np.ones(len(folds), "int8")})
    found = [len(fold_subset(rows, rows, folds, targets, n / 8, 0)) for n in range(1, 9)]
    assert found == [2175, 4356, 6548, 8722, 10_896, 13_069, 15_245, 17_418]
    below = [len(fold_subset(rows, rows, folds, targets, fraction, 0)) for fraction in (0.01, 0.05)]
    assert below == [174, 870]  # 8 and 40 per cent of fold 1


def test_the_real_ptbxl_slice_by_folds() -> None:
    table = pd.read_csv(realdata("ptbxl", "ptbxl_database.csv"))
    table = table[table["strat_fold"] <= 8]
    rows, patients, folds = (table[name].to_numpy() for name in ("ecg_id", "patient_id", "strat_fold"))
    targets = pd.DataFrame({"NORM": table["scp_codes"].str.contains("NORM").astype("int8")}, index=rows)
    subsets = [fold_subset(rows, patients, folds, targets, n / 8, 0) for n in range(1, 9)]
    assert [set(folds[np.isin(rows, subset)]) for subset in subsets] == [
        set(range(1, n + 1)) for n in range(1, 9)
    ]
    assert len(subsets[-1]) == 344
    few = fold_subset(rows, patients, folds, targets, 0.05, 0)
    assert set(few) < set(subsets[0]) and len(few) == pytest.approx(0.4 * len(subsets[0]), abs=3)


def test_a_patient_in_two_folds_belongs_to_the_later() -> None:
    rows, folds = np.arange(6), np.array([1, 1, 1, 2, 2, 2])
    patients = np.array(["a", "b", "b", "b", "c", "d"])
    targets = pd.DataFrame({"A": [1] * 6})
    assert fold_subset(rows, patients, folds, targets, 0.5, 0).tolist() == [0]
    assert fold_subset(rows, patients, folds, targets, 1.0, 0).tolist() == rows.tolist()


@pytest.mark.parametrize(("fraction", "folds"), [(0.333, 1), (0.3333, 1), (0.667, 2), (0.6667, 2)])
def test_a_rounded_share_of_three_folds_is_understood(fraction: float, folds: int) -> None:
    rows, patients, place, targets = _folded(60, 1, (1, 2, 3))
    subset = fold_subset(rows, patients, place, targets, fraction, 0)
    assert subset.tolist() == rows[place <= folds].tolist()


def test_a_fraction_between_folds_lists_what_can_be_had() -> None:
    part = _folded(60, 1)
    with pytest.raises(SkipFraction) as skipped:
        fold_subset(*part, 0.3, 0)
    assert skipped.value.reason == (
        "label fraction 0.3 is no whole number of 4 folds; give one of 0.25, 0.5, 0.75, 1, or any below the first"
    )


@pytest.mark.parametrize(("without", "count"), [(slice(None), 5), (slice(1, 3), 2)])
def test_records_without_a_fold_are_counted(without: slice, count: int) -> None:
    folds = np.arange(1, 6)
    folds[without] = 0
    rows, targets = np.arange(5), pd.DataFrame({"A": [1] * 5})
    with pytest.raises(
        CorpusError, match=f"^{count} of 5 records are in no fold; draw label subsets by patient"
    ):
        fold_subset(rows, rows, folds, targets, 0.5, 0)


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 500),
    seed=st.integers(0, 10_000),
    fractions=st.lists(st.integers(1, 100), min_size=2, max_size=5),
)
def test_unit_subsets_nest_and_have_the_size_asked_for(count: int, seed: int, fractions: list[int]) -> None:
    smaller: set[int] = set()
    for percent in sorted(fractions):
        subset = unit_subset(count, percent / 100, seed)
        assert subset.tolist() == sorted(set(subset)) and set(subset) <= set(range(count))
        assert len(subset) == max(1, percent * count // 100)  # rounded down, in whole numbers
        assert smaller <= set(subset)
        smaller = set(subset)


def test_a_share_that_a_float_cannot_hold_is_not_cut_short() -> None:
    assert len(unit_subset(100, 0.29, 0)) == 29  # 0.29 * 100 is 28.999999999999996


def test_all_units_at_fraction_one_and_none_of_none() -> None:
    assert unit_subset(7, 1.0, 3).tolist() == list(range(7))
    assert unit_subset(0, 0.5, 3).tolist() == []


@pytest.mark.parametrize(("leads", "touched"), [(4, 0.684), (12, 0.968)])
def test_a_quarter_of_the_units_touches_most_patients(leads: int, touched: float) -> None:
    drawn = unit_subset(5000 * leads, 0.25, 0)
    patients = np.bincount(drawn // leads, minlength=5000) > 0
    assert patients.mean() == pytest.approx(touched, abs=0.02)  # 1 - 0.75 ** leads: not by patient
    assert np.bincount(drawn % leads).std() < 60  # every lead alike


def test_unit_subsets_repeat_and_differ_by_seed() -> None:
    assert unit_subset(12, 0.25, 0).tolist() == [2, 8, 9]
    assert len({tuple(unit_subset(200, 0.25, seed)) for seed in range(5)}) == 5


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01])
def test_a_fraction_outside_is_refused_however_it_is_drawn(fraction: float) -> None:
    part = _folded(60, 1)
    with pytest.raises(ValueError, match="must be above 0 and at most 1"):
        fold_subset(*part, fraction, 0)
    with pytest.raises(ValueError, match="must be above 0 and at most 1"):
        unit_subset(10, fraction, 0)
