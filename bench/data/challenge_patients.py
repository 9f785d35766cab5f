"""Whose the Challenge's records are. It publishes no patients, but PTB-XL's records keep their number: HRn is ecg_id n.

So where PTB-XL's own table lies beside them, it tells their patients; age and sex must agree record by record.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.data.challenge import PTBXL_TABLE, ChallengeHeader, enumerate_ids
from bench.data.corpus import Note
from bench.data.tables import coerce_numbers, read_table

_COLUMNS = ("ecg_id", "patient_id", "age", "sex")
_SEXES = {0.0: "male", 1.0: "female"}
_OLD = 89.0
"""Years above which PTB-XL tells no age from another: releases after 1.0.1 write 300."""


def ptbxl_table(root: Path) -> Path | None:
    """PTB-XL's table in a Challenge folder, in a folder `ptbxl` inside it, or in one beside it."""
    folders = (root, root / "ptbxl", root.resolve().parent / "ptbxl")
    return next((path for path in (folder / PTBXL_TABLE for folder in folders) if path.is_file()), None)


def find_patients(
    headers: Sequence[ChallengeHeader], sources: Sequence[str], root: Path
) -> tuple[list[str], list[Note]]:
    """The patient of each record: PTB-XL's `patient_id`, or the record's own id where nobody knows.

    Args:
        headers: the records.
        sources: the source database of each.
        root: the corpus's folder.

    Returns:
        A patient a record, and what a report says about them.

    Raises:
        CorpusError: the table is there and cannot be read.
    """
    theirs = [header for header, source in zip(headers, sources, strict=True) if source == "ptbxl"]
    table = ptbxl_table(root) if theirs else None
    if table is None:
        return [header.record for header in headers], [
            Note("", "note", "no patient ids are published: each record is its own patient")
        ]
    notes: list[Note] = []
    rows = _read(table, notes)
    known, strange, absent = {}, [], []
    for header in theirs:
        number = header.record.removeprefix("HR")
        row = rows.get(int(number)) if number.isdigit() else None
        if row is None:
            absent.append(header.record)
        elif _agree(header, *row[1:]):
            known[header.record] = row[0]
        else:
            strange.append(header.record)
    said = [
        (list(known), "patients as in", ", age and sex agree; every other record is its own patient"),
        (strange, "another age or sex in", ": each taken for its own patient"),
        (absent, "no patient in", ": each taken for its own"),
    ]
    for records, what, so in said:
        if records:
            notes.append(Note("", "note", f"{what} {PTBXL_TABLE} for {enumerate_ids(records)}{so}"))
    return [known.get(header.record, header.record) for header in headers], notes


def _read(path: Path, notes: list[Note]) -> dict[int, tuple[str, float, str]]:
    """(patient, age, sex) by ecg_id; rows without one of the two numbers are left out."""
    table = read_table(path, _COLUMNS, "it tells the patients of PTB-XL's records")
    coerce_numbers(table, _COLUMNS, "ecg_id", notes)
    table = table[pd.notna(table[["ecg_id", "patient_id"]]).all(axis=1)]
    return {
        int(number): (f"{patient:.0f}", age, _SEXES.get(sex, ""))
        for number, patient, age, sex in table[list(_COLUMNS)].itertuples(index=False)
    }


def _agree(header: ChallengeHeader, age: float, sex: str) -> bool:
    """Do age and sex tell one person? What is unknown on either side contradicts nothing."""
    same_sex = not header.sex or not sex or header.sex == sex
    unknown = header.age != header.age or age != age
    return same_sex and (unknown or header.age == age or min(header.age, age) > _OLD)
