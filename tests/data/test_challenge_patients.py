"""Patients of the Challenge's PTB-XL records: from PTB-XL's table, when age and sex agree."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.data.challenge_patients import ptbxl_table
from bench.data.cinc2021 import CincReader
from bench.data.corpus import CorpusError
from bench.data.prepare import prepare, prepared_folder
from tests.data.folders import ecg, write_mat, write_ptbxl
from tests.realdata import realdata

OWN = "no patient ids are published: each record is its own patient"


def table_of(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["ecg_id", "patient_id", "age", "sex"])


def write_records(root: Path, ages: dict[str, str]) -> None:
    """Records that are all male, by id and age."""
    for seed, (record, age) in enumerate(ages.items()):
        write_mat(root / "g1" / record, ecg(seed, 200), age=age, sex="Male")


def patients_of(root: Path) -> tuple[dict[str, str], list[str]]:
    index = CincReader().index(root)
    said = [note.reason for note in index.notes if "patient" in note.reason]
    return dict(zip(index.records["record"], index.records["patient"], strict=True)), said


def test_age_and_sex_must_agree_record_by_record(tmp_path: Path) -> None:
    ages = {"HR00001": "56", "HR00002": "57", "HR00003": "58", "HR00004": "93", "HR00005": "NaN"}
    ages |= {"HR00006": "60", "HR00007": "61", "HR00008": "90", "E00001": "56"}
    write_records(tmp_path / "cinc", ages)
    rows = [
        (1, 700.0, 56.0, 0),
        (2, 700.0, 57.5, 0),  # another age
        (3, 701.0, 58.0, 1),  # another sex
        (4, 702.0, 300.0, 0),  # above 89 in both
        (5, 703.0, 12.0, 0),  # unknown here
        (6, 703.0, np.nan, np.nan),  # unknown there
        (8, 704.0, 89.0, 0),  # above 89 in one alone
        ("x", 705.0, 1.0, 0),
        (9, np.nan, 1.0, 0),
    ]
    table_of(rows).to_csv(tmp_path / "cinc" / "ptbxl_database.csv", index=False)

    patients, said = patients_of(tmp_path / "cinc")

    theirs = {"HR00001": "700", "HR00004": "702", "HR00005": "703", "HR00006": "703"}
    assert patients == {record: theirs.get(record, record) for record in ages}
    name = "ptbxl_database.csv"
    assert said == [
        f"patients as in {name} for 4 records (HR00001, HR00004, HR00005, HR00006), age and sex agree;"
        " every other record is its own patient",
        f"another age or sex in {name} for 3 records (HR00002, HR00003, HR00008): each taken for its own patient",
        f"no patient in {name} for 1 record (HR00007): each taken for its own",
    ]


@pytest.mark.parametrize("place", ["cinc", "cinc/ptbxl", "ptbxl"])
def test_the_table_may_lie_with_the_records_or_beside_them(tmp_path: Path, place: str) -> None:
    write_records(tmp_path / "cinc", {"HR01001": "50", "HR01002": "51"})
    assert patients_of(tmp_path / "cinc") == ({"HR01001": "HR01001", "HR01002": "HR01002"}, [OWN])
    if place == "cinc":
        write_ptbxl(tmp_path / "made", ["{}"] * 2, 20)
        (tmp_path / "made" / "ptbxl_database.csv").rename(tmp_path / "cinc" / "ptbxl_database.csv")
    else:
        write_ptbxl(tmp_path / place, ["{}"] * 2, 20)  # 1001 male, 1002 female, both patient 70

    patients, said = patients_of(tmp_path / "cinc")

    assert ptbxl_table(tmp_path / "cinc") == tmp_path / place / "ptbxl_database.csv"
    assert patients == {"HR01001": "70", "HR01002": "HR01002"} and len(said) == 2
    index = CincReader().index(tmp_path / "cinc")  # PTB-XL's own records are none of the Challenge's
    inside = "ptbxl is PTB-XL itself, no part of this corpus"
    assert any(note.reason == inside for note in index.notes) == (place == "cinc/ptbxl")


def test_without_records_of_ptbxl_its_table_is_not_asked(tmp_path: Path) -> None:
    write_records(tmp_path / "cinc", {"E00001": "50"})
    (tmp_path / "ptbxl").mkdir()
    (tmp_path / "ptbxl" / "ptbxl_database.csv").write_text("nonsense\n")
    assert patients_of(tmp_path / "cinc") == ({"E00001": "E00001"}, [OWN])
    write_records(tmp_path / "cinc", {"HR00001": "50"})
    with pytest.raises(CorpusError, match=r"ptbxl_database.csv lacks the column ecg_id, patient_id"):
        CincReader().index(tmp_path / "cinc")


def test_a_simulated_record_is_nobody_s(tmp_path: Path) -> None:
    write_records(tmp_path / "cinc", {"HR00001": "56"})
    (tmp_path / "cinc" / "simulation.json").write_text('{"name": "cinc2021-sim"}')
    table_of([(1, 700.0, 56.0, 0)]).to_csv(tmp_path / "cinc" / "ptbxl_database.csv", index=False)
    assert patients_of(tmp_path / "cinc") == ({"HR00001": "HR00001"}, [])


def test_a_changed_table_beside_the_folder_is_prepared_anew(tmp_path: Path) -> None:
    write_records(tmp_path / "cinc", {"HR00001": "56", "A0001": "56"})
    folder = prepared_folder(CincReader(), tmp_path / "cinc", tmp_path / "out", 100)
    cpsc = CincReader(sources=("cpsc",), name="cpsc")
    other = prepared_folder(cpsc, tmp_path / "cinc", tmp_path / "out", 100)
    (tmp_path / "ptbxl").mkdir()
    path = tmp_path / "ptbxl" / "ptbxl_database.csv"
    table_of([(1, 700.0, 56.0, 0)]).to_csv(path, index=False)

    first = prepared_folder(CincReader(), tmp_path / "cinc", tmp_path / "out", 100)
    corpus = prepare(CincReader(), tmp_path / "cinc", tmp_path / "out", 100, workers=1)
    os.utime(path, (1, 1))

    assert len({folder, first, prepared_folder(CincReader(), tmp_path / "cinc", tmp_path / "out", 100)}) == 3
    assert corpus.folder == first and corpus.records["patient"].tolist() == ["A0001", "700"]
    assert prepared_folder(cpsc, tmp_path / "cinc", tmp_path / "out", 100) == other  # has none of PTB-XL's


def test_real_records_have_ptbxl_s_patients() -> None:
    table = pd.read_csv(realdata("ptbxl", "ptbxl_database.csv")).set_index("ecg_id")
    patients, said = patients_of(realdata("cinc2021"))
    for number in range(1, 11):
        assert patients[f"HR{number:05d}"] == f"{table['patient_id'][number]:.0f}"
    assert sum(patient == record for record, patient in patients.items()) == 38 and len(said) == 1
