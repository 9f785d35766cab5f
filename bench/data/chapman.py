"""Chapman-Shaoxing (10,646 records, one a patient) in any of its three distributions.

All need Diagnostics.xlsx at the root. It names figshare's CSV files; WFDB records (PhysioNet, Challenge) are
joined to it by row number: rhythm, age and sex must agree for every record, or nothing is read (spec a.4).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.data.challenge import ChallengeHeader, enumerate_ids, scan_challenge
from bench.data.chapman_cohort import (
    CLASSES,
    RHYTHMS,
    Cohort,
    Form,
    cohort_table,
    exclusions,
    exists,
    first_of_duplicates,
    has_official_split,
    official_parts,
    read_sheet,
)
from bench.data.cinc2021 import LAST_CHAPMAN
from bench.data.corpus import (
    ATTRIBUTES,
    CorpusError,
    CorpusIndex,
    Note,
    RawRecord,
    Task,
    label_table,
    record_table,
    simulation,
)
from bench.data.csv_record import read_csv_record
from bench.data.wfdb_record import read_wfdb

SHEET = "Diagnostics.xlsx"
RATE = 500
SAMPLES = 5_000

SNOMED_RHYTHMS: dict[str, str] = {
    "164889003": "AFIB",
    "164890007": "AF",
    "427084000": "ST",
    "426761007": "SVT",
    "713422000": "AT",
    "251166008": "AVNRT",
    "233897008": "AVRT",
    "17366009": "SAAWR",
    "426177001": "SB",
    "426783006": "SR",
    "427393009": "SA",
}
"""Rhythm codes as the headers use them (spec a.2); the published code table differs for AVNRT and SAAWR."""

FORM_TITLES: dict[Form, str] = {
    "denoised": "figshare denoised",
    "raw": "figshare raw",
    "wfdb": "PhysioNet/Challenge WFDB",
}
COMPLETE: dict[Form, int] = {"denoised": 10_646, "raw": 10_646, "wfdb": 10_247}
"""Records of each distribution."""

LICENCES: dict[Form, str] = {
    "denoised": "CC0 1.0 (reported)",
    "raw": "CC0 1.0 (reported)",
    "wfdb": "CC BY 4.0",
}
CITATION = (
    "Zheng et al., A 12-lead electrocardiogram database for arrhythmia research covering more than 10,000"
    " patients, Scientific Data 7:48 (2020); https://doi.org/10.1038/s41597-020-0386-x"
)

_CSV_FOLDERS: dict[Form, str] = {"denoised": "ECGDataDenoised", "raw": "ECGData"}


@dataclass(frozen=True)
class ChapmanReader:
    """Reads Chapman-Shaoxing.

    Tasks: `rhythm4` (single; AFIB, GSVT, SB, SR), `rhythm11` (single, the sheet's acronyms), `conditions`
    (multi, the codes of `Beat`). The official part is the published Good Views split. Duplicates share a
    patient id.

    Attributes:
        cohort: who is kept; every record left out is a note.
        form: the distribution to read; None: the one that is there, denoised before raw before WFDB.
    """

    cohort: Cohort = "recommended"
    form: Form | None = None

    def index(self, root: Path) -> CorpusIndex:
        """Read the sheet and find its records; see `Reader.index`."""
        notes: list[Note] = []
        sheet = read_sheet(root / SHEET, notes)
        form = self.form or _form_below(root)
        paths = _wfdb_paths(root, sheet, notes) if form == "wfdb" else _csv_paths(root, form, sheet, notes)
        mark = simulation(root)
        _assert_complete(sheet, form, len(paths), simulated=bool(mark))
        rows = sheet.loc[list(paths)]
        ids = _record_ids(sheet, form)
        reasons = exclusions(sheet, self.cohort, form)[rows.index]
        for row in rows.index[reasons != ""]:
            notes.append(Note(ids[row], "left out", f"not in the {self.cohort} cohort: {reasons[row]}"))
        rows = rows[reasons == ""]
        first = _first_ids(sheet, ids)
        notes += _duplicate_notes(rows.index, ids, first)
        parts = official_parts(sheet, form)
        if not mark and not has_official_split(sheet):
            notes.append(Note("", "note", f"no official split: {SHEET} is not the published one, row by row"))
            parts[:] = ""
        name = mark.get("name", "chapman")
        return CorpusIndex(
            name=name,
            title=f"{name} ({len(rows):,} simulated records)" if mark else self._title(len(rows), form),
            records=_records(rows, ids, first, parts, paths, name),
            labels=label_table(_labels(rows, ids)),
            tasks=_tasks(sheet),
            notes=tuple(notes),
            simulated=bool(mark),
            licence="" if mark else LICENCES[form],
            citation="" if mark else CITATION,
            facts={"cohort": self.cohort, "form": form, **_paper_cohort(sheet, mark), **mark},
        )

    def read(self, root: Path, path: str) -> RawRecord:
        """Read one record; see `Reader.read`."""
        raw = read_csv_record(root / path, RATE, "uV") if path.endswith(".csv") else read_wfdb(root / path)
        if len(raw.signal) != SAMPLES or raw.rate != RATE:
            raise CorpusError(
                f"{Path(path).name} has {len(raw.signal):,} samples at {raw.rate:g} Hz,"
                f" Chapman's have {SAMPLES:,} at {RATE} Hz"
            )
        return raw

    def _title(self, count: int, form: Form) -> str:
        cohort = "" if self.cohort == "recommended" else f", {self.cohort} cohort"
        return f"chapman ({count:,} of {COMPLETE[form]:,}, {FORM_TITLES[form]}{cohort})"


def _form_below(root: Path) -> Form:
    for form, folder in _CSV_FOLDERS.items():
        if next(root.rglob(f"{folder}/*.csv"), None):
            return form
    if next(root.rglob("JS*.hea"), None):
        return "wfdb"
    raise CorpusError(f"no Chapman signals below {root}: neither ECGDataDenoised/, nor ECGData/, nor JS*.hea")


def _csv_paths(root: Path, form: Form, sheet: pd.DataFrame, notes: list[Note]) -> dict[int, str]:
    """Row label -> path below the root, for every row whose file is there, in the sheet's order."""
    files = {path.stem: path for path in sorted(root.rglob(f"{_CSV_FOLDERS[form]}/*.csv"))}
    unknown = sorted(set(files) - set(sheet["FileName"]))
    notes.extend(Note(name, "rejected", f"no row in {SHEET}") for name in unknown)
    return {
        row: files[name].relative_to(root).as_posix()
        for row, name in enumerate(sheet["FileName"])
        if name in files
    }


def _wfdb_paths(root: Path, sheet: pd.DataFrame, notes: list[Note]) -> dict[int, str]:
    """Row label -> path below the root, for every WFDB record of Chapman, each agreeing with its row."""
    headers, found = scan_challenge(root)
    numbered = {number: header for header in headers if (number := _number(header.record))}
    last = max(LAST_CHAPMAN, len(sheet))
    notes.extend(note for note in found if (number := _number(note.record)) and number <= last)
    ningbo = [header.record for number, header in numbered.items() if number > last]
    if ningbo:
        notes.append(Note("", "note", f"Ningbo, no part of this corpus: {enumerate_ids(ningbo)} left out"))
    paths: dict[int, str] = {}
    for number, header in sorted(numbered.items()):
        if number <= last and _joins(header, number, sheet, notes):
            paths[number - 1] = header.path
    return paths


def _number(record: str) -> int | None:
    """The row a WFDB record id stands for, counted from 1."""
    return int(record[2:]) if re.fullmatch(r"JS\d{5}", record) else None


def _joins(header: ChallengeHeader, number: int, sheet: pd.DataFrame, notes: list[Note]) -> bool:
    """Whether a record has a row that is certainly its own; a rejection is noted."""
    if number > len(sheet):
        notes.append(Note(header.record, "rejected", f"no row {number} in {SHEET}"))
        return False
    if not header.codes and not header.sex and header.age != header.age:
        reason = f"its header has no age, sex or code to check against row {number} of {SHEET}"
        notes.append(Note(header.record, "rejected", reason))
        return False
    _assert_agreement(header, sheet.iloc[number - 1], number)
    return True


def _assert_agreement(header: ChallengeHeader, row: pd.Series, number: int) -> None:
    """Rhythm, age and sex of a header and of its row must agree.

    Raises:
        CorpusError: naming the record and both values. The join by row would be wrong for every record.
    """
    rhythms = [SNOMED_RHYTHMS[code] for code in header.codes if code in SNOMED_RHYTHMS]
    pairs = {
        "rhythm": ("+".join(rhythms) or "none", row["Rhythm"]),
        "age": (header.age, float(row["PatientAge"])),
        "sex": (header.sex, str(row["Gender"]).lower()),
    }
    for what, (stated, listed) in pairs.items():
        if stated != listed:
            raise CorpusError(
                f"{header.record}: {what} {stated} in its header, {listed} in row {number} of {SHEET};"
                " the sheet must be in its published row order and belong to these records"
            )


def _assert_complete(sheet: pd.DataFrame, form: Form, found: int, simulated: bool) -> None:
    """A complete sheet lists 10,646 records, of which WFDB has all but 399."""
    possible = int(exists(sheet, form).sum())
    if not simulated and len(sheet) == COMPLETE["raw"] and possible != COMPLETE[form]:
        raise CorpusError(f"{SHEET} lists {possible:,} records of this form, published: {COMPLETE[form]:,}")
    if not found:
        raise CorpusError(f"none of the {possible:,} records of {SHEET} is here")


def _record_ids(sheet: pd.DataFrame, form: Form) -> pd.Series:
    if form != "wfdb":
        return sheet["FileName"]
    return pd.Series([f"JS{number:05d}" for number in range(1, len(sheet) + 1)], index=sheet.index)


def _first_ids(sheet: pd.DataFrame, ids: pd.Series) -> pd.Series:
    return first_of_duplicates(sheet).map(dict(zip(sheet["FileName"], ids, strict=True)))


def _duplicate_notes(rows: pd.Index, ids: pd.Series, first: pd.Series) -> list[Note]:
    kept = set(ids[rows])
    pairs = [(ids[row], first[row]) for row in rows if ids[row] != first[row] and first[row] in kept]
    return [
        Note(record, "note", f"a duplicate of {other}; both have one patient id") for record, other in pairs
    ]


def _records(
    rows: pd.DataFrame, ids: pd.Series, first: pd.Series, parts: pd.Series, paths: dict[int, str], source: str
) -> pd.DataFrame:
    attributes = {name: rows[name].astype(float) for name in ATTRIBUTES}
    attributes["AtrialRate"] = attributes["AtrialRate"].replace(0.0, np.nan)  # 0: not measured
    return record_table(
        {
            "record": ids[rows.index],
            "patient": first[rows.index],
            "age": rows["PatientAge"],
            "sex": [sex if sex in ("male", "female") else "" for sex in rows["Gender"].str.lower()],
            "source": [source] * len(rows),
            "part": parts[rows.index],
            **attributes,
            "path": [paths[row] for row in rows.index],
        }
    )


def _tasks(sheet: pd.DataFrame) -> dict[str, Task]:
    conditions = sorted({code for beat in sheet["Beat"] for code in _conditions(beat)})
    tasks = (
        Task("rhythm4", "single", CLASSES),
        Task("rhythm11", "single", tuple(RHYTHMS)),
        Task("conditions", "multi", tuple(conditions)),
    )
    return {task.name: task for task in tasks}


def _conditions(beat: str | float) -> list[str]:
    """The condition codes of a `Beat` cell; none for 'NONE' or an empty cell."""
    return [] if pd.isna(beat) else [code for code in dict.fromkeys(str(beat).split()) if code != "NONE"]


def _labels(rows: pd.DataFrame, ids: pd.Series) -> Iterator[tuple[str, str, str]]:
    for row, rhythm, beat in zip(rows.index, rows["Rhythm"], rows["Beat"], strict=True):
        yield ids[row], "rhythm4", RHYTHMS[rhythm]
        yield ids[row], "rhythm11", rhythm
        yield from ((ids[row], "conditions", code) for code in _conditions(beat))


def _paper_cohort(sheet: pd.DataFrame, mark: dict[str, Any]) -> dict[str, Any]:
    """Class sizes by the Good Views paper's filters, for its Table 2; nothing for a simulated sheet."""
    if mark:
        return {}
    sizes = {str(name): int(size) for name, size in cohort_table(sheet, "paper")["total"].items()}
    return {"paper_cohort": sizes}
