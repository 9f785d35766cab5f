"""`data check`: the layout is recognised and every known defect of the real slices is one line."""

import shutil
from pathlib import Path

import pytest

from bench.data.chapman import ChapmanReader
from bench.data.check import check_corpus, detect_reader
from bench.data.cinc2021 import CincReader
from bench.data.corpus import CorpusError, Note
from bench.data.folder import FolderReader
from bench.data.ptbxl import PtbxlReader
from tests.data.folders import ecg, write_dat, write_mat, write_ptbxl, write_sheet
from tests.realdata import realdata

MENDED = "record line names the file {0}.mat, which wfdb refuses; extension dropped"


OWN = ("", "no patient ids are published: each record is its own patient")
WHOSE = (
    "patients as in ptbxl_database.csv for 10 records (HR00001, HR00002, HR00003, HR00004, HR00005, ...),"
    " age and sex agree; every other record is its own patient"
)


def partly(counts: str) -> tuple[str, str]:
    return "", f"source databases in part: {counts}"


def lines(*parts: str) -> tuple[str, set[tuple[str, str]]]:
    root = realdata(*parts)
    title, notes = check_corpus(detect_reader(root), root)
    pairs = [(note.record, note.reason) for note in notes]
    assert len(set(pairs)) == len(pairs) and not any("\n" in reason for _, reason in pairs)
    return title, set(pairs)


def test_ptbxl() -> None:
    assert lines("ptbxl") == (
        "ptbxl (488 of 21,837, release 1.0.1 metadata)",
        {("", "age missing in 4 records")},
    )


def test_ptbxl_removed_duplicates() -> None:
    title, found = lines("ptbxl_removed_duplicates")
    assert title == "ptbxl (12 of 21,837, release 1.0.1 metadata)" and len(found) == 12


def test_chapman() -> None:
    title, found = lines("chapman")
    assert title == "chapman (18 of 10,247, PhysioNet/Challenge WFDB)" and len(found) == 2
    assert ("JS05457", "not in the recommended cohort: under 18 years") in found


def test_ningbo_flat_leads() -> None:
    title, found = lines("chapman", "WFDB_Ningbo")
    assert title == "cinc2021 (66 of 88,253)"
    flat = {record: reason for record, reason in found if reason.startswith("flat: ")}
    precordial = "flat: V1, V2, V3, V4, V5, V6 (constant 0 mV); kept"
    assert flat == {
        "JS11438": precordial,
        "JS45542": precordial,
        "JS45544": "flat: V2, V3, V4, V5, V6 (constant 0 mV); kept",
        "JS45551": "flat: V4, V5, V6 (constant 0 mV); kept",
        "JS20004": "flat: V2, V4, V6 (constant 0 mV); kept",
        "JS20008": "flat: V2, V4, V6 (constant 0 mV); kept",
    }
    others = {record: reason for record, reason in found if record not in flat and record}
    assert list(others) == ["JS20005"] and others["JS20005"].startswith("empty or doubled code in #Dx")
    assert {(record, reason) for record, reason in found if not record} == {
        OWN,
        partly("ningbo 66 of 34,905"),
    }


@pytest.mark.parametrize(
    ("folder", "count", "whole", "expected"),
    [
        ("WFDB_CPSC2018", 14, "cpsc 14 of 6,877", set()),
        ("WFDB_CPSC2018_2", 10, "cpsc_extra 10 of 3,453", set()),
        ("WFDB_Ga", 10, "georgia 10 of 10,344", {("", "age missing in 3 records")}),
        (
            "WFDB_PTB",
            2,
            "ptb 2 of 516",
            {("", "unit written 'mv', read as mV, in 2 records (S0001, S0002)")},
        ),
        (
            "WFDB_Ga_mat_in_record_name",
            2,
            "georgia 2 of 10,344",
            {
                ("E07509", MENDED.format("E07509")),
                ("E07510", MENDED.format("E07510")),
                ("E07510", "same signal as record E07509"),
            },
        ),
    ],
)
def test_challenge_folders(folder: str, count: int, whole: str, expected: set[tuple[str, str]]) -> None:
    title, found = lines("cinc2021", folder)
    assert title == f"cinc2021 ({count} of 88,253)" and found == expected | {OWN, partly(whole)}


def test_challenge_whole() -> None:
    title, found = lines("cinc2021")
    assert title == "cinc2021 (48 of 88,253)" and len(found) == 7 and ("", WHOSE) in found
    counts = (
        "cpsc 14 of 6,877, cpsc_extra 10 of 3,453, ptb 2 of 516, ptbxl 10 of 21,837, georgia 12 of 10,344"
    )
    assert partly(counts) in found
    title, found = lines("cinc2021", "WFDB_PTBXL")
    assert title == "cinc2021 (10 of 88,253)" and len(found) == 3 and OWN in found  # no table beside it


def test_layouts_are_recognised(tmp_path: Path) -> None:
    write_ptbxl(tmp_path / "a", ["{'NORM': 1.0}"], 50)
    write_sheet(tmp_path / "b", ["SB"])
    write_mat(tmp_path / "c" / "deep" / "E00001", ecg(0, 50))
    write_dat(tmp_path / "d" / "r1", ecg(0, 50))
    (tmp_path / "d" / "records.csv").write_text("record,path,labels\nr1,r1,SR\n")
    found = [detect_reader(tmp_path / name) for name in "abcd"]
    assert found == [PtbxlReader(), ChapmanReader(), CincReader(), FolderReader()]
    (tmp_path / "c" / "ptbxl_database.csv").write_text("ecg_id,patient_id,age,sex\n")
    assert detect_reader(tmp_path / "c") == CincReader()  # PTB-XL's table, but the Challenge's signals
    shutil.rmtree(tmp_path / "a" / "records100")
    assert detect_reader(tmp_path / "a") == PtbxlReader()  # whose error says what is missing
    (tmp_path / "e").mkdir()
    with pytest.raises(
        CorpusError, match=r"looked for ptbxl_database.csv .*Diagnostics.xlsx .*records.csv .*hea"
    ):
        detect_reader(tmp_path / "e")
    with pytest.raises(CorpusError, match="no folder"):
        detect_reader(tmp_path / "f")


def test_damage_does_not_stop_the_check(tmp_path: Path) -> None:
    for record in ("r1", "r2", "r3"):
        write_dat(tmp_path / record, ecg(0, 50))
    (tmp_path / "r2.dat").write_bytes(b"")
    (tmp_path / "records.csv").write_text(
        "record,path,labels,age,sex\nr1,r1,A,1,m\nr2,r2,A,1,m\nr3,r3,A,1,m\n"
    )
    title, notes = check_corpus(FolderReader(), tmp_path)
    assert title == f"{tmp_path.name} (3 records)"
    assert [note for note in notes if note.record] == [
        Note("r2", "rejected", "r2.dat is truncated: 0 of 50 samples a lead"),
        Note("r3", "note", "same signal as record r1"),
    ]
