"""Chapman: the sheet's published counts, the join by row, both figshare forms, cohorts."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.data.chapman import ChapmanReader
from bench.data.chapman_cohort import (
    CLASSES,
    PAPER_NAN,
    SHORT,
    cohort_table,
    exclusions,
    exists,
    first_of_duplicates,
    has_official_split,
    official_parts,
    read_sheet,
)
from bench.data.corpus import CorpusError
from tests.data.folders import ecg, write_mat, write_muse, write_sheet
from tests.realdata import realdata

SNOMED = {"SB": "426177001", "SR": "426783006", "AFIB": "164889003", "AF": "164890007", "ST": "427084000"}


NO_SPLIT = ("", "no official split: Diagnostics.xlsx is not the published one, row by row")


@pytest.fixture(scope="module")
def sheet() -> pd.DataFrame:
    return read_sheet(realdata("chapman", "Diagnostics.xlsx"))


def write_wfdb(root: Path, rhythms: list[str], samples: int = 5000) -> pd.DataFrame:
    table = write_sheet(root, rhythms)
    for position, row in table.iterrows():
        if row["Rhythm"] != "SA":
            stem = root / "WFDBRecords" / "01" / "010" / f"JS{position + 1:05d}"
            codes = f"{SNOMED[row['Rhythm']]},59118001"
            write_mat(stem, ecg(position, samples), 500, str(row["PatientAge"]), row["Gender"].title(), codes)
    return table


class TestSheet:
    def test_rhythms_and_conditions(self, sheet: pd.DataFrame) -> None:
        common = {
            "SB": 3889,
            "SR": 1826,
            "AFIB": 1780,
            "ST": 1568,
            "SVT": 587,
            "AF": 445,
            "SA": 399,
            "AT": 121,
        }
        rare = {"AVNRT": 16, "AVRT": 8, "SAAWR": 7}
        assert sheet["Rhythm"].value_counts().to_dict() == common | rare
        assert len(sheet) == 10_646 and sheet["FileName"].is_unique

    def test_official_split(self, sheet: pd.DataFrame) -> None:
        assert official_parts(sheet, "raw").value_counts().to_dict() == {
            "train": 6387,
            "val": 2129,
            "test": 2130,
        }
        denoised = official_parts(sheet)
        assert denoised.value_counts().to_dict() == {"train": 6386, "val": 2129, "test": 2130, "": 1}
        assert denoised[sheet["FileName"] == SHORT].tolist() == [""]

    def test_official_split_by_hand(self) -> None:
        table = pd.DataFrame({"FileName": [f"r{i}" for i in range(11)]})
        names = table["FileName"].to_numpy(copy=True)
        np.random.RandomState(926).shuffle(names)
        expected = {name: "train" if i < 6 else "val" if i < 8 else "test" for i, name in enumerate(names)}
        assert official_parts(table, "raw").tolist() == [expected[name] for name in table["FileName"]]

    def test_paper_cohort_is_the_10369(self, sheet: pd.DataFrame) -> None:
        table = cohort_table(sheet, "paper")
        assert table.index.tolist() == [*CLASSES, "all"]
        assert table["total"].tolist() == [2218, 2199, 3871, 2081, 10_369]
        assert table.loc["all"].tolist() == [6223, 2056, 2089, 10_369]
        assert table.loc[list(CLASSES), "train"].tolist() == [1317, 1317, 2333, 1256]
        assert table.loc[list(CLASSES), "val"].tolist() == [444, 448, 753, 411]
        assert table.loc[list(CLASSES), "test"].tolist() == [457, 434, 784, 414]

    def test_paper_demographics(self, sheet: pd.DataFrame) -> None:
        kept = sheet[exclusions(sheet, "paper") == ""]
        assert kept["Gender"].value_counts().to_dict() == {"MALE": 5804, "FEMALE": 4565}
        decades = pd.cut(kept["PatientAge"], [17, 29, 39, 49, 59, 69, 79, 200]).value_counts(sort=False)
        assert decades.tolist() == [542, 702, 1254, 2041, 2614, 1863, 1353]

    def test_other_cohorts(self, sheet: pd.DataFrame) -> None:
        assert cohort_table(sheet, "all", "raw").loc["all"].tolist() == [6387, 2129, 2130, 10_646]
        assert cohort_table(sheet, "all", "wfdb").loc["all"].tolist() == [6158, 2042, 2047, 10_247]
        assert cohort_table(sheet, "all", "wfdb")["total"].tolist()[:4] == [2225, 2307, 3889, 1826]
        adults = sheet["PatientAge"] >= 18
        assert adults.sum() == 10_381 and (adults & exists(sheet, "wfdb")).sum() == 10_103
        # the recommended cohorts are the spec's, less one of each pair of duplicates that is still there
        assert cohort_table(sheet, "recommended").loc["all", "total"] == 10_328 - 7
        assert cohort_table(sheet, "recommended", "raw").loc["all", "total"] == 10_381 - 14
        assert cohort_table(sheet, "recommended", "wfdb").loc["all", "total"] == 10_103 - 13

    def test_exclusions_have_reasons(self, sheet: pd.DataFrame) -> None:
        reasons = exclusions(sheet, "recommended").value_counts()
        assert reasons["under 18 years"] == 265
        assert reasons["its denoised file is all zero"] == 40
        assert reasons["its denoised file is too short"] == 1
        assert reasons["its denoised file holds NaN"] == len(PAPER_NAN) == 12
        assert reasons["a duplicate of an earlier row"] == 7

    def test_duplicates_are_the_14_pairs(self, sheet: pd.DataFrame) -> None:
        number = {name: row + 1 for row, name in enumerate(sheet["FileName"])}
        first = first_of_duplicates(sheet)
        pairs = {(number[a], number[b]) for a, b in zip(first, sheet["FileName"], strict=True) if a != b}
        assert pairs == {
            (5752, 8755), (2026, 3005), (2561, 4771), (1827, 3435), (1451, 6490), (2989, 5900), (9908, 10086),
            (10293, 10614), (10294, 10617), (10295, 10612), (10296, 10625), (10297, 10628), (10298, 10609),
            (10299, 10624),
        }  # fmt: skip


class TestWfdb:
    def test_real_slice_joins_its_rows(self) -> None:
        index = ChapmanReader(cohort="all").index(realdata("chapman"))
        assert index.title == "chapman (19 of 10,247, PhysioNet/Challenge WFDB, all cohort)"
        rows = index.labels[index.labels["task"] == "rhythm4"]
        assert rows["label"].value_counts().to_dict() == {"SB": 10, "AFIB": 4, "SR": 3, "GSVT": 2}
        first = index.records.iloc[0]
        assert (first["record"], first["age"], first["sex"], first["part"]) == (
            "JS00001",
            85,
            "male",
            "train",
        )
        assert (first["VentricularRate"], first["AtrialRate"], first["TOffset"]) == (117, 234, 386)
        assert any("Ningbo" in note.reason and "66 records" in note.reason for note in index.notes)
        eleven = index.labels[(index.labels["task"] == "rhythm11") & (index.labels["record"] == "JS00005")]
        assert eleven["label"].tolist() == ["AF"]
        assert len(index.tasks["conditions"].classes) == 56

    def test_join_by_row_number(self, tmp_path: Path) -> None:
        table = write_wfdb(tmp_path, ["SB", "SA", "AF", "ST"])
        index = ChapmanReader("all").index(tmp_path)
        assert index.records["record"].tolist() == ["JS00001", "JS00003", "JS00004"]
        assert index.records["age"].tolist() == table["PatientAge"][[0, 2, 3]].tolist()
        assert index.records["QRSDuration"].tolist() == table["QRSDuration"][[0, 2, 3]].tolist()
        labels = index.labels
        assert labels[labels["task"] == "rhythm4"]["label"].tolist() == ["SB", "AFIB", "GSVT"]
        conditions = labels[labels["task"] == "conditions"]
        assert conditions["record"].tolist() == [
            "JS00001",
            "JS00001",
            "JS00004",
            "JS00004",
        ]
        raw = ChapmanReader().read(tmp_path, index.records["path"][1])
        np.testing.assert_allclose(raw.signal, ecg(2, 5000) / 1000, rtol=1e-6)

    @pytest.mark.parametrize(
        ("column", "value", "message"),
        [
            ("Rhythm", "SR", "JS00003: rhythm AF in its header, SR in row 3"),
            ("PatientAge", 99, "JS00003: age 42.0 in its header, 99.0 in row 3"),
            ("Gender", "MALE", "JS00003: sex female in its header, male in row 3"),
        ],
    )
    def test_disagreement_aborts(self, tmp_path: Path, column: str, value: object, message: str) -> None:
        table = write_wfdb(tmp_path, ["SB", "SR", "AF"])
        table.loc[2, column] = value
        table.to_excel(tmp_path / "Diagnostics.xlsx", index=False)
        with pytest.raises(CorpusError, match=message):
            ChapmanReader().index(tmp_path)

    def test_sorted_sheet_is_caught(self, tmp_path: Path) -> None:
        table = write_wfdb(tmp_path, ["SB", "SR", "AF", "SB"])
        table.sort_values("Rhythm").to_excel(tmp_path / "Diagnostics.xlsx", index=False)
        with pytest.raises(CorpusError, match="published row order"):
            ChapmanReader().index(tmp_path)

    def test_records_without_row_or_header_content_are_rejected(self, tmp_path: Path) -> None:
        write_wfdb(tmp_path, ["SB", "SR"])
        write_mat(tmp_path / "JS00007", ecg(7, 500))
        write_mat(tmp_path / "JS10647", ecg(8, 500))
        (tmp_path / "WFDBRecords/01/010/JS00002.hea").write_text("")
        index = ChapmanReader().index(tmp_path)
        assert index.records["record"].tolist() == ["JS00001"]
        rejected = {note.record: note.reason for note in index.notes if note.action == "rejected"}
        assert rejected["JS00007"] == "no row 7 in Diagnostics.xlsx"
        assert "row 2" in rejected["JS00002"] and "JS10647" not in rejected


class TestFigshare:
    @pytest.mark.parametrize(("folder", "titled"), [("ECGData", True), ("ECGDataDenoised", False)])
    def test_both_forms(self, tmp_path: Path, folder: str, titled: bool) -> None:
        table = write_sheet(tmp_path, ["SB", "SA", "SVT"])
        signal = np.random.default_rng(0).normal(0, 200, (5000, 12)).round(3)
        for name in table["FileName"]:
            write_muse(tmp_path / folder / f"{name}.csv", signal, titled)
        reader = ChapmanReader()
        index = reader.index(tmp_path)
        assert index.title.endswith(f"figshare {'raw' if titled else 'denoised'})")
        assert index.records["record"].tolist() == table["FileName"].tolist()
        raw = reader.read(tmp_path, index.records["path"][2])
        assert raw.rate == 500
        np.testing.assert_allclose(raw.signal, signal / 1000, rtol=1e-6, atol=1e-9)

    def test_short_and_missing_files(self, tmp_path: Path) -> None:
        table = write_sheet(tmp_path, ["SB", "SR", "SR"])
        write_muse(tmp_path / "ECGData" / f"{table['FileName'][1]}.csv", ecg(1, 4900))
        write_muse(tmp_path / "ECGData" / "MUSE_unknown.csv", ecg(2, 5000))
        reader = ChapmanReader()
        index = reader.index(tmp_path)
        assert index.records["record"].tolist() == [table["FileName"][1]]
        assert [(n.record, n.reason) for n in index.notes] == [
            ("MUSE_unknown", "no row in Diagnostics.xlsx"),
            NO_SPLIT,
        ]
        with pytest.raises(CorpusError, match="4,900 samples"):
            reader.read(tmp_path, index.records["path"][0])

    def test_duplicates_share_a_patient_or_leave(self, tmp_path: Path) -> None:
        table = write_sheet(tmp_path, ["SB", "SR", "SB", "SB"])
        table.loc[3, table.columns[1:]] = table.loc[0, table.columns[1:]]
        table.loc[1, "AtrialRate"] = 0
        table.to_excel(tmp_path / "Diagnostics.xlsx", index=False)
        for name in table["FileName"]:
            write_muse(tmp_path / "ECGData" / f"{name}.csv", ecg(0, 10))
        paper = ChapmanReader("paper").index(tmp_path)
        names = table["FileName"].tolist()
        assert paper.records["patient"].tolist() == [*names[:3], names[0]]
        assert np.isnan(paper.records["AtrialRate"][1]) and paper.records["AtrialRate"][0] == 51
        assert [(n.record, n.action) for n in paper.notes] == [(names[3], "note"), ("", "note")]
        recommended = ChapmanReader().index(tmp_path)
        assert recommended.records["record"].tolist() == names[:3]
        note, split = recommended.notes
        assert (split.record, split.reason) == NO_SPLIT and set(recommended.records["part"]) == {""}
        assert (note.record, note.action) == (names[3], "left out") and "duplicate" in note.reason


def test_simulated_folder_is_named_so(tmp_path: Path) -> None:
    write_wfdb(tmp_path, ["SB", "SR"])
    (tmp_path / "simulation.json").write_text(json.dumps({"name": "chapman-sim", "seed": 1}))
    index = ChapmanReader().index(tmp_path)
    assert index.simulated and index.title == "chapman-sim (2 simulated records)"
    assert index.facts["seed"] == 1 and index.licence == ""
    assert set(index.records["part"]) == {"train", "test"}  # a simulated sheet is split by the same rule


def test_the_official_split_is_of_the_published_rows_in_their_order(sheet: pd.DataFrame) -> None:
    assert has_official_split(sheet)
    assert not has_official_split(sheet.iloc[::-1]) and not has_official_split(sheet.iloc[:-1])


@pytest.mark.parametrize(("rate", "samples"), [(250, 5000), (500, 2500)])
def test_wfdb_of_another_rate_or_length_is_refused(tmp_path: Path, rate: int, samples: int) -> None:
    write_mat(tmp_path / "JS00001", ecg(1, samples), rate)
    with pytest.raises(CorpusError, match=f"{samples:,} samples at {rate} Hz"):
        ChapmanReader().read(tmp_path, "JS00001")


def test_a_damaged_sheet_is_one_line(tmp_path: Path) -> None:
    table = write_wfdb(tmp_path, ["SB", "SR"])
    table["QTInterval"] = ["?", 400]
    table.to_excel(tmp_path / "Diagnostics.xlsx", index=False)
    index = ChapmanReader().index(tmp_path)
    assert np.isnan(index.records["QTInterval"][0]) and index.records["QTInterval"][1] == 400
    first = index.notes[0]
    assert (first.record, first.action) == (table["FileName"][0], "note") and "QTInterval '?'" in first.reason
    whole = (tmp_path / "Diagnostics.xlsx").read_bytes()
    for damaged in (b"", whole[: len(whole) // 2]):
        (tmp_path / "Diagnostics.xlsx").write_bytes(damaged)
        with pytest.raises(CorpusError, match=r"Diagnostics.xlsx cannot be read \("):
            ChapmanReader().index(tmp_path)


def test_sheet_errors(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"Diagnostics.xlsx is missing"):
        ChapmanReader().index(tmp_path)
    table = write_sheet(tmp_path, ["SB", "VF"])
    with pytest.raises(CorpusError, match="rhythm 'VF'"):
        ChapmanReader().index(tmp_path)
    table.drop(columns="Beat").to_excel(tmp_path / "Diagnostics.xlsx", index=False)
    with pytest.raises(CorpusError, match="lacks the column Beat"):
        ChapmanReader().index(tmp_path)
    write_sheet(tmp_path, ["SB"])
    with pytest.raises(CorpusError, match="no Chapman signals"):
        ChapmanReader().index(tmp_path)


def test_the_real_sheet_brings_the_papers_cohort_for_its_table_2() -> None:
    index = ChapmanReader().index(realdata("chapman"))
    assert index.facts["paper_cohort"] == {"AFIB": 2218, "GSVT": 2199, "SB": 3871, "SR": 2081, "all": 10369}
