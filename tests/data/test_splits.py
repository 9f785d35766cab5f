"""Splits: official and stratified; by patient, proportional, blind to the order of rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.data.corpus import CorpusError
from bench.data.splits import PARTS, Split, SplitSpec, make_split
from tests.data.cohorts import CLASSES, make_cohort, strata_of
from tests.realdata import realdata


def _patients(records: pd.DataFrame, rows: np.ndarray) -> set[str]:
    return set(records["patient"].iloc[rows])


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
    records, targets = make_cohort(patients, cohort)

    split = make_split(records, targets, SplitSpec(kind="stratified", seed=seed))

    members = {part: _patients(records, rows) for part, rows in split.parts.items()}
    assert not members["train"] & members["val"]
    assert not (members["train"] | members["val"]) & members["test"]
    assert not _patients(records, split.pretrain) & (members["val"] | members["test"])
    every = np.concatenate(list(split.parts.values()))
    assert sorted(records["record"].iloc[every]) == sorted(targets.index)  # each labelled record once
    assert set(split.parts["train"]) <= set(split.pretrain)
    strata = strata_of(records, targets)
    for name in CLASSES:
        size = sum(stratum == name for stratum in strata.values())
        for part, share in zip(PARTS, (0.6, 0.2, 0.2), strict=True):
            inside = sum(strata[patient] == name for patient in members[part])
            assert abs(inside - share * size) <= 1


@settings(max_examples=15, deadline=None)
@given(cohort=st.integers(0, 10_000), seed=st.integers(0, 100))
def test_the_order_of_rows_changes_no_split(cohort: int, seed: int) -> None:
    records, targets = make_cohort(60, cohort)
    shuffled = records.sample(frac=1, random_state=seed).reset_index(drop=True)
    spec = SplitSpec(kind="stratified", seed=seed)

    split = make_split(records, targets, spec)
    other = make_split(shuffled, targets.sample(frac=1, random_state=seed), spec)

    assert _named(records, split) == _named(shuffled, other)
    assert split.fingerprint == other.fingerprint


def test_another_seed_is_another_stratified_split() -> None:
    records, targets = make_cohort(100, 0)
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


@pytest.mark.parametrize(
    ("patients", "cohort", "seed", "shares", "known"),
    [
        (100, 0, 0, (0.6, 0.2, 0.2), "24c60505e1840c07"),
        (80, 3, 5, (0.8, 0.1, 0.1), "90b9ee0acbe15193"),
        (200, 7, 1, (0.5, 0.25, 0.25), "050dab2d76dda8a4"),
    ],
)
def test_the_draw_is_the_one_that_results_were_made_on(
    patients: int, cohort: int, seed: int, shares: tuple[float, float, float], known: str
) -> None:
    spec = SplitSpec(kind="stratified", seed=seed, shares=shares)
    assert make_split(*make_cohort(patients, cohort), spec).fingerprint[:16] == known


def _of_sources(patients: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A cohort whose patients are of four databases, of very different size; all records have a row of targets."""
    records, targets = make_cohort(patients, seed)
    number = records["patient"].str[1:].astype(int)
    source = np.select(
        [number % 10 == 0, number % 10 < 3, number % 10 < 5], ["ptb", "cpsc", "ptbxl"], "georgia"
    )
    return records.assign(source=source), targets.reindex(records["record"], fill_value=0)


@settings(max_examples=15, deadline=None)
@given(cohort=st.integers(0, 10_000), seed=st.integers(0, 10_000))
def test_every_class_of_every_database_is_split_in_proportion(cohort: int, seed: int) -> None:
    records, targets = _of_sources(150, cohort)
    spec = SplitSpec(kind="stratified", seed=seed, by_source=True, shares=(0.8, 0.1, 0.1))

    split = make_split(records, targets, spec)

    part = {record: name for name, rows in split.parts.items() for record in records["record"].iloc[rows]}
    assert sorted(part) == sorted(records["record"])  # with those negative in all classes
    rarest = strata_of(records, targets[targets.any(axis=1)])
    members: dict[tuple[str, str], dict[str, str]] = {}
    for record, patient, source in records[["record", "patient", "source"]].itertuples(index=False):
        known = members.setdefault((source, rarest.get(patient, "none")), {})
        assert known.setdefault(patient, part[record]) == part[record]
    for inside in members.values():
        for name, share in zip(PARTS, spec.shares, strict=True):
            assert abs(sum(own == name for own in inside.values()) - share * len(inside)) <= 1


def test_patients_of_some_databases_are_wholly_in_train_and_not_drawn() -> None:
    records, targets = _of_sources(150, 4)
    spec = SplitSpec(kind="stratified", seed=2, by_source=True, only_train=("ptb", "stpetersburg"))

    split = make_split(records, targets, spec)
    without = records["source"] != "ptb"
    others = make_split(records[without].reset_index(drop=True), targets[without.to_numpy()], spec)

    ptb = np.flatnonzero(~without)
    assert len(ptb) and set(ptb) <= set(split.parts["train"]) and set(ptb) <= set(split.pretrain)
    drawn = {name: set(records["record"].iloc[np.setdiff1d(rows, ptb)]) for name, rows in split.parts.items()}
    alone = records[without].reset_index(drop=True)
    assert drawn == {name: set(alone["record"].iloc[rows]) for name, rows in others.parts.items()}
    assert split.notes == (
        f"{len(ptb)} records of ptb only in train",
        "0 records of stpetersburg only in train",
    )


def test_a_patient_of_two_databases_is_wholly_in_train_if_one_says_so() -> None:
    records, targets = _of_sources(60, 1)
    records.loc[records["patient"] == "p1", "source"] = "ptbxl"
    records.loc[records.index[records["patient"] == "p1"][0], "source"] = "ptb"
    for seed in range(8):
        spec = SplitSpec(kind="stratified", seed=seed, by_source=True, only_train=("ptb",))
        split = make_split(records, targets, spec)
        assert "p1" not in _patients(records, np.concatenate([split.parts["val"], split.parts["test"]]))


def test_the_title_says_how_databases_are_treated() -> None:
    shares = (0.8, 0.1, 0.1)
    assert SplitSpec(kind="stratified").title() == "stratified 60/20/20, seed 0"
    by_source = SplitSpec(
        kind="stratified", shares=shares, by_source=True, only_train=("ptb", "stpetersburg")
    )
    assert by_source.title() == "stratified 80/10/10 by source, ptb and stpetersburg only in train, seed 0"
    alone = SplitSpec(kind="stratified", seed=3, only_train=("ptb",))
    assert alone.title() == "stratified 60/20/20, ptb only in train, seed 3"


@pytest.mark.parametrize("fields", [{"by_source": True}, {"only_train": ("ptb",)}])
def test_the_official_split_is_not_drawn(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="are of the stratified split"):
        SplitSpec.model_validate({"kind": "official"} | fields)
