"""Splits and label subsets: by patient, nested, proportional, blind to the order of rows."""

from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.data.corpus import CorpusError
from bench.data.splits import (
    PARTS,
    SkipFraction,
    Split,
    SplitSpec,
    check_label_subset,
    label_subset,
    make_split,
    rarest_class,
)
from tests.realdata import realdata

CLASSES = ["A", "B", "C"]


def _cohort(patients: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records (1-3 a patient) in random order, and multi-hot targets of about four in five of them."""
    generator = np.random.default_rng(seed)
    owners = np.repeat(np.arange(patients), generator.integers(1, 4, patients))
    generator.shuffle(owners)
    records = pd.DataFrame(
        {"record": [f"r{i}" for i in range(len(owners))], "patient": [f"p{i}" for i in owners]}
    )
    hot = pd.DataFrame(generator.random((len(owners), 3)) < (0.5, 0.3, 0.1), columns=CLASSES).astype("int8")
    hot.index = pd.Index(records["record"], name="record")
    return records, hot[hot.any(axis=1)]


def _patients(records: pd.DataFrame, rows: np.ndarray) -> set[str]:
    return set(records["patient"].iloc[rows])


def _strata(records: pd.DataFrame, targets: pd.DataFrame) -> dict[str, str]:
    """Each labelled patient's rarest class, by explicit loops."""
    owner = dict(zip(records["record"], records["patient"], strict=True))
    carried: dict[str, set[str]] = defaultdict(set)
    for record, row in targets.iterrows():
        carried[owner[record]] |= {name for name in CLASSES if row[name]}
    count = {name: sum(name in classes for classes in carried.values()) for name in CLASSES}
    return {
        patient: min(classes, key=lambda name: (count[name], CLASSES.index(name)))
        for patient, classes in carried.items()
    }


def _named(records: pd.DataFrame, split: Split) -> dict[str, set[str]]:
    parts = {part: set(records["record"].iloc[rows]) for part, rows in split.parts.items()}
    return parts | {"pretrain": set(records["record"].iloc[split.pretrain])}


def _official(rows: list[tuple[str, str, str]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records from (record, patient, part); all labelled but those called u..."""
    records = pd.DataFrame(rows, columns=["record", "patient", "part"])
    labelled = [record for record in records["record"] if not record.startswith("u")]
    return records, pd.DataFrame({"A": 1}, index=pd.Index(labelled, name="record"))


OFFICIAL = SplitSpec(kind="official")


def test_the_official_split_takes_the_parts_as_published() -> None:
    records, targets = _official(
        [("1", "a", "train"), ("2", "b", "val"), ("u3", "c", "train"), ("4", "d", "test"), ("5", "e", "")]
    )

    split = make_split(records, targets, OFFICIAL)

    assert {part: rows.tolist() for part, rows in split.parts.items()} == {
        "train": [0],
        "val": [1],
        "test": [3],
    }
    assert split.pretrain.tolist() == [0, 2]  # with the unlabelled one
    assert split.notes == ()


def test_a_patient_in_two_official_parts_stays_in_the_later_one() -> None:
    records, targets = _official(
        [
            ("1", "a", "train"),
            ("2", "a", "test"),
            ("3", "b", "train"),
            ("4", "b", "val"),
            ("5", "c", "val"),
            ("6", "c", "test"),
            ("u7", "a", "train"),
            ("8", "d", "train"),
            ("9", "d", "train"),
            ("10", "c", ""),
        ]
    )

    split = make_split(records, targets, OFFICIAL)

    assert {part: rows.tolist() for part, rows in split.parts.items()} == {
        "train": [7, 8],
        "val": [3],
        "test": [1, 5],
    }
    assert split.pretrain.tolist() == [7, 8]
    assert split.notes == (
        "1 records of val left out: patient in a later part",
        "3 records of train left out: patient in a later part",
    )


def test_a_corpus_without_official_parts_says_what_to_do() -> None:
    records, targets = _official([("1", "a", ""), ("2", "b", "")])
    with pytest.raises(CorpusError, match="no official split; use a stratified one"):
        make_split(records, targets, OFFICIAL)


def test_an_unknown_part_is_named() -> None:
    records, targets = _official([("1", "a", "train"), ("2", "b", "dev")])
    with pytest.raises(CorpusError, match="unknown part 'dev'"):
        make_split(records, targets, OFFICIAL)


def test_an_empty_part_is_named() -> None:
    records, targets = _official([("1", "a", "train"), ("u2", "b", "val"), ("3", "c", "test")])
    with pytest.raises(CorpusError, match="part val of the official split has no labelled record"):
        make_split(records, targets, OFFICIAL)


def test_the_fingerprint_sees_assignments_not_labels_or_order() -> None:
    rows = [("1", "a", "train"), ("2", "b", "val"), ("3", "c", "test"), ("4", "d", "train")]
    records, targets = _official(rows)
    split = make_split(records, targets, OFFICIAL)

    assert make_split(records, targets.iloc[:3], OFFICIAL).fingerprint == split.fingerprint
    assert make_split(records.iloc[::-1], targets, OFFICIAL).fingerprint == split.fingerprint
    moved = records.assign(part=["train", "val", "test", "val"])
    assert make_split(moved, targets, OFFICIAL).fingerprint != split.fingerprint


def test_ptbxl_s_folds_are_patient_disjoint() -> None:
    table = pd.read_csv(realdata("ptbxl", "ptbxl_database.csv"))
    part = table["strat_fold"].map({9: "val", 10: "test"}).fillna("train")
    records = pd.DataFrame(
        {"record": table["ecg_id"].astype(str), "patient": table["patient_id"], "part": part}
    )
    targets = pd.DataFrame({"A": 1}, index=records["record"])

    split = make_split(records, targets, OFFICIAL)

    assert {part: len(rows) for part, rows in split.parts.items()} == {"train": 344, "val": 78, "test": 66}
    assert split.notes == ()


@settings(max_examples=20, deadline=None)
@given(patients=st.integers(40, 120), cohort=st.integers(0, 10_000), seed=st.integers(0, 10_000))
def test_a_stratified_split_keeps_patients_apart_and_classes_in_proportion(
    patients: int, cohort: int, seed: int
) -> None:
    records, targets = _cohort(patients, cohort)

    split = make_split(records, targets, SplitSpec(kind="stratified", seed=seed))

    members = {part: _patients(records, rows) for part, rows in split.parts.items()}
    assert not members["train"] & members["val"]
    assert not (members["train"] | members["val"]) & members["test"]
    assert not _patients(records, split.pretrain) & (members["val"] | members["test"])
    every = np.concatenate(list(split.parts.values()))
    assert sorted(records["record"].iloc[every]) == sorted(targets.index)  # each labelled record once
    assert set(split.parts["train"]) <= set(split.pretrain)
    strata = _strata(records, targets)
    for name in CLASSES:
        size = sum(stratum == name for stratum in strata.values())
        for part, share in zip(PARTS, (0.6, 0.2, 0.2), strict=True):
            inside = sum(strata[patient] == name for patient in members[part])
            assert abs(inside - share * size) <= 1


@settings(max_examples=15, deadline=None)
@given(cohort=st.integers(0, 10_000), seed=st.integers(0, 100))
def test_the_order_of_rows_changes_no_split(cohort: int, seed: int) -> None:
    records, targets = _cohort(60, cohort)
    shuffled = records.sample(frac=1, random_state=seed).reset_index(drop=True)
    spec = SplitSpec(kind="stratified", seed=seed)

    split = make_split(records, targets, spec)
    other = make_split(shuffled, targets.sample(frac=1, random_state=seed), spec)

    assert _named(records, split) == _named(shuffled, other)
    assert split.fingerprint == other.fingerprint


def test_another_seed_is_another_stratified_split() -> None:
    records, targets = _cohort(100, 0)
    prints = {
        make_split(records, targets, SplitSpec(kind="stratified", seed=s)).fingerprint for s in range(5)
    }
    assert len(prints) == 5


def test_unlabelled_patients_are_split_too_for_pre_training() -> None:
    records = pd.DataFrame({"record": [f"{i}" for i in range(200)], "patient": [f"p{i}" for i in range(200)]})
    targets = pd.DataFrame({"A": 1}, index=records["record"].iloc[:100])

    split = make_split(records, targets, SplitSpec(kind="stratified"))

    assert [len(split.parts[part]) for part in PARTS] == [60, 20, 20]
    assert len(split.pretrain) == 120  # 60 labelled, 60 not


@pytest.mark.parametrize("shares", [(0.6, 0.2, 0.3), (0.8, 0.2, 0.0), (1.2, -0.1, -0.1)])
def test_impossible_shares_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ValidationError, match="must be positive and sum to 1"):
        SplitSpec(kind="stratified", shares=shares)


def test_a_spec_takes_no_unknown_field() -> None:
    with pytest.raises(ValidationError, match="extra"):
        SplitSpec.model_validate({"kind": "official", "folds": 10})


def test_a_patient_s_stratum_is_their_rarest_class() -> None:
    patients = np.array(["b", "a", "a", "c", "d", "e"])
    targets = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 0], [1, 1, 0]])
    # patients a class: A 3 (a, b, e), B 3 (a, c, e), C 1 (c); the tie of A and B goes to A
    assert rarest_class(patients, targets).to_dict() == {"a": 0, "b": 0, "c": 2, "d": -1, "e": 0}


def _part(patients: int, cohort: int) -> tuple[np.ndarray, np.ndarray, pd.DataFrame, dict[str, str]]:
    """Rows 1000, 1001, ... of a part, their patients and targets, and the patients' strata."""
    records, targets = _cohort(patients, cohort)
    owner = records.set_index("record")["patient"]
    strata = _strata(records, targets)
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
