"""PTB-XL: tasks, releases, subset titles, and the facts of the real slice."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.data.corpus import CorpusError
from bench.data.leads import LEADS
from bench.data.ptbxl import DUPLICATES, RELEASES, PtbxlReader, _assert_complete
from tests.data.folders import ecg, write_dat, write_ptbxl
from tests.realdata import realdata

CODES = [
    "{'NORM': 100.0, 'SR': 0.0}",
    "{'IMI': 15.0, 'AMI': 0.0, 'LVOLT': 0.0}",
    "{'NDT': 50.0, 'IMI': 100.0}",
    "{'SR': 0.0, 'XYZ': 0.0}",
]


def labels_of(root: Path, task: str) -> dict[str, list[str]]:
    labels = PtbxlReader().index(root).labels
    rows = labels[labels["task"] == task]
    return rows.groupby("record")["label"].apply(sorted).to_dict()


def test_tasks_by_hand(tmp_path: Path) -> None:
    write_ptbxl(tmp_path, CODES)
    assert labels_of(tmp_path, "all") == {
        "1001": ["NORM", "SR"],
        "1002": ["AMI", "IMI", "LVOLT"],
        "1003": ["IMI", "NDT"],
        "1004": ["SR"],
    }
    assert labels_of(tmp_path, "diagnostic") == {
        "1001": ["NORM"],
        "1002": ["AMI", "IMI"],
        "1003": ["IMI", "NDT"],
    }
    assert labels_of(tmp_path, "subdiagnostic")["1003"] == ["IMI", "STTC"]
    assert labels_of(tmp_path, "superdiagnostic") == {
        "1001": ["NORM"],
        "1002": ["MI"],
        "1003": ["MI", "STTC"],
    }
    assert labels_of(tmp_path, "superdiagnostic-single") == {"1001": ["NORM"], "1002": ["MI"]}
    assert labels_of(tmp_path, "form") == {"1002": ["LVOLT"], "1003": ["NDT"]}
    assert labels_of(tmp_path, "rhythm") == {"1001": ["SR"], "1004": ["SR"]}


def test_records_by_hand(tmp_path: Path) -> None:
    table = write_ptbxl(tmp_path, CODES * 3)
    table.loc[0, "age"] = 300
    table.loc[1, "age"] = np.nan
    table.loc[2, "sex"] = np.nan
    table.to_csv(tmp_path / "ptbxl_database.csv", index=False)
    records = PtbxlReader().index(tmp_path).records
    assert records["record"].tolist()[:2] == ["1001", "1002"]
    assert records["patient"].tolist()[:4] == ["70", "70", "71", "71"]
    assert records["age"].tolist()[0] == 90 and np.isnan(records["age"][1]) and records["age"][3] == 53
    assert records["sex"].tolist()[:4] == ["male", "female", "", "female"]
    assert records["fold"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2]
    assert records["part"].tolist() == ["train"] * 8 + ["val", "test", "train", "train"]
    assert set(records["source"]) == {"ptbxl"} and records["QTInterval"].isna().all()


def test_height_and_weight_where_they_are_published(tmp_path: Path) -> None:
    table = write_ptbxl(tmp_path, CODES)
    records = PtbxlReader().index(tmp_path).records
    assert records[["height", "weight"]].isna().all(axis=None)  # a table without the columns
    table["height"] = [170.0, 0.0, np.nan, 6.0]
    table["weight"] = ["70", "-3", "250", "many"]
    table.to_csv(tmp_path / "ptbxl_database.csv", index=False)
    index = PtbxlReader().index(tmp_path)
    assert index.records["height"].dtype == index.records["weight"].dtype == np.float64
    np.testing.assert_array_equal(index.records["height"], [170, np.nan, np.nan, 6])
    np.testing.assert_array_equal(index.records["weight"], [70, np.nan, 250, np.nan])
    assert [note.reason for note in index.notes if "weight" in note.reason] == [
        "weight 'many' is no number; taken as unknown"
    ]


def test_real_heights_and_weights() -> None:
    records = PtbxlReader().index(realdata("ptbxl")).records
    assert records[["height", "weight"]].notna().sum().tolist() == [157, 386]
    first = records.set_index("record").loc["1"]
    assert np.isnan(first["height"]) and first["weight"] == 63


def test_problems_are_one_line_each(tmp_path: Path) -> None:
    table = write_ptbxl(tmp_path, [*CODES, "{'NORM': __import__('os')}", "{'NORM': 1.0}", "{'NORM': 1.0}"])
    table.loc[5, "patient_id"] = np.nan
    table.drop(index=6).to_csv(tmp_path / "ptbxl_database.csv", index=False)
    (tmp_path / "records100/01000/01001_lr.dat").unlink()
    index = PtbxlReader().index(tmp_path)
    assert index.records["record"].tolist() == ["1002", "1003", "1004"]
    found = {(note.record, note.action): note.reason for note in index.notes}
    assert "unknown SCP code 'XYZ'" in found["1004", "note"]
    assert "scp_codes is no dict" in found["1005", "rejected"]
    assert "without whole-number ecg_id, patient_id" in found["1006", "rejected"]
    assert found["01007_lr", "rejected"] == "no row in ptbxl_database.csv"
    assert len(index.notes) == 4


def test_folder_of_the_wanted_rate_else_the_other(tmp_path: Path) -> None:
    table = write_ptbxl(tmp_path, CODES)
    assert PtbxlReader(500).index(tmp_path).facts["stored_rate"] == 100
    for path, ecg_id in zip(table["filename_hr"], table["ecg_id"], strict=True):
        write_dat(tmp_path / path, ecg(ecg_id, 5000), rate=500)
    assert PtbxlReader(100).index(tmp_path).facts["stored_rate"] == 100
    assert PtbxlReader(250).index(tmp_path).facts["stored_rate"] == 500
    index = PtbxlReader(500).index(tmp_path)
    raw = PtbxlReader(500).read(tmp_path, index.records["path"][0])
    assert raw.rate == 500 and raw.signal.shape == (5000, 12)


def test_missing_tables_and_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"ptbxl_database.csv is missing"):
        PtbxlReader().index(tmp_path)
    table = write_ptbxl(tmp_path, CODES)
    table.drop(columns="strat_fold").to_csv(tmp_path / "ptbxl_database.csv", index=False)
    with pytest.raises(CorpusError, match="lacks the column strat_fold"):
        PtbxlReader().index(tmp_path)


def test_damaged_tables_are_one_line(tmp_path: Path) -> None:
    table = write_ptbxl(tmp_path, CODES).astype(object)
    statements = pd.read_csv(tmp_path / "scp_statements.csv")
    statements.drop(columns="diagnostic_class").to_csv(tmp_path / "scp_statements.csv", index=False)
    with pytest.raises(CorpusError, match="lacks the column diagnostic_class"):
        PtbxlReader().index(tmp_path)
    statements.to_csv(tmp_path / "scp_statements.csv", index=False)
    table.loc[0, "age"], table.loc[1, "patient_id"], table.loc[2, "ecg_id"] = "old", "p12", ""
    table.to_csv(tmp_path / "ptbxl_database.csv", index=False)
    index = PtbxlReader().index(tmp_path)
    assert index.records["record"].tolist() == ["1001", "1004"] and np.isnan(index.records["age"][0])
    found = {(note.record, note.action) for note in index.notes}
    assert {("1001", "note"), ("1002", "rejected"), ("01003_lr", "rejected")} <= found
    table.loc[2, "ecg_id"] = 1004
    table.to_csv(tmp_path / "ptbxl_database.csv", index=False)
    with pytest.raises(CorpusError, match="record id '1004' is given twice"):
        PtbxlReader().index(tmp_path)


@pytest.mark.parametrize(("rate", "samples"), [(200, 1000), (100, 999)])
def test_another_rate_or_length_than_the_folders_is_refused(tmp_path: Path, rate: int, samples: int) -> None:
    write_dat(tmp_path / "records100/00000/00001_lr", ecg(1, samples), rate)
    with pytest.raises(CorpusError, match=f"{samples:,} samples at {rate} Hz; records100 holds 10 s at 100"):
        PtbxlReader().read(tmp_path, "records100/00000/00001_lr")


@pytest.mark.parametrize(
    ("ages", "ids", "title"),
    [
        ([50, 91], [1001, 1002], "ptbxl (2 of 21,837, release 1.0.1 metadata)"),
        ([50, 300], [1001, 1002], "ptbxl (2 of 21,799, release 1.0.3 metadata)"),
        ([50, 300], [1001, 137], "ptbxl (2 of 21,801, release 1.0.2 metadata)"),
        ([50, 60], [1001, 137], "ptbxl (2 of 21,837, release 1.0.1 metadata)"),
        ([50, 60], [1001, 1002], "ptbxl (2 records, release not told by its metadata)"),
    ],
)
def test_release_is_told_by_ages_and_ids(tmp_path: Path, ages: list[int], ids: list[int], title: str) -> None:
    table = write_ptbxl(tmp_path, CODES[:2])
    table["age"], table["ecg_id"] = ages, ids
    table.to_csv(tmp_path / "ptbxl_database.csv", index=False)
    assert PtbxlReader().index(tmp_path).title == title


def test_counts_of_a_complete_release_are_asserted() -> None:
    sizes = [17_418 // 8 + (fold < 17_418 % 8) for fold in range(8)] + [2_183, 2_198]
    whole = pd.DataFrame({"strat_fold": np.repeat(np.arange(1, 11), sizes)})
    assert len(whole) == RELEASES["1.0.3"]
    _assert_complete(whole, "1.0.3")
    whole.loc[0, "strat_fold"] = 10
    with pytest.raises(CorpusError, match="has folds"):
        _assert_complete(whole, "1.0.3")
    _assert_complete(whole[1:], "1.0.3")  # a part of a release may have any folds


def test_duplicates_are_the_38() -> None:
    assert len(DUPLICATES) == 38 == RELEASES["1.0.1"] - RELEASES["1.0.3"]


def test_simulated_folder_is_named_so(tmp_path: Path) -> None:
    write_ptbxl(tmp_path, CODES)
    (tmp_path / "simulation.json").write_text('{"name": "ptbxl-sim"}')
    index = PtbxlReader().index(tmp_path)
    assert index.simulated and index.title == "ptbxl-sim (4 simulated records)"
    assert set(index.records["source"]) == {"ptbxl-sim"}


def test_real_slice() -> None:
    root = realdata("ptbxl")
    index = PtbxlReader().index(root)
    assert index.title == "ptbxl (488 of 21,837, release 1.0.1 metadata)"
    sizes = {"all": 71, "diagnostic": 44, "subdiagnostic": 23, "superdiagnostic": 5, "form": 19, "rhythm": 12}
    assert {name: len(task.classes) for name, task in index.tasks.items()} == {
        **sizes,
        "superdiagnostic-single": 5,
    }
    assert index.tasks["superdiagnostic"].classes == ("CD", "HYP", "MI", "NORM", "STTC")
    assert index.tasks["all"].classes[33:36] == ("ISCLA", "ISC_", "IVCD")
    records, labels = index.records, index.labels
    assert len(records) == 488 and records["patient"].nunique() == 459
    assert records["fold"].value_counts().sort_index().tolist() == [56, 50, 32, 42, 46, 33, 43, 42, 78, 66]
    assert Counter(records["sex"]) == {"male": 242, "female": 246}
    assert records["age"].isna().sum() == 4 and records["age"].max() == 91
    rows = labels[labels["task"] == "superdiagnostic"]
    assert Counter(rows["label"]) == {"NORM": 293, "STTC": 93, "CD": 76, "MI": 71, "HYP": 38}
    per_record = rows.groupby("record").size()
    assert len(per_record) == 488 - 11
    single = labels[labels["task"] == "superdiagnostic-single"]
    assert len(single) == (per_record == 1).sum() and single["record"].is_unique
    sub = Counter(labels.loc[labels["task"] == "subdiagnostic", "label"])
    assert (sub["AMI"], sub["LAFB/LPFB"], sub["SEHYP"]) == (41, 32, 1)


def test_real_rates_agree() -> None:
    from scipy.signal import resample_poly

    root = realdata("ptbxl")
    slow, fast = PtbxlReader(100), PtbxlReader(500)
    for one, other in zip(
        slow.index(root).records["path"][::60], fast.index(root).records["path"][::60], strict=True
    ):
        low, high = slow.read(root, one).signal, fast.read(root, other).signal
        assert low.shape == (1000, 12) and high.shape == (5000, 12)
        decimated = resample_poly(high, 1, 5, axis=0)
        for lead in range(len(LEADS)):
            assert np.corrcoef(low[20:-20, lead], decimated[20:-20, lead])[0, 1] > 0.95


def test_real_removed_duplicates() -> None:
    index = PtbxlReader().index(realdata("ptbxl_removed_duplicates"))
    assert index.title == "ptbxl (12 of 21,837, release 1.0.1 metadata)"
    assert [note.record for note in index.notes] == index.records["record"].tolist()
    assert all("1.0.3" in note.reason for note in index.notes)
