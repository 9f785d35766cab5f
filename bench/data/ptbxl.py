"""PTB-XL as PhysioNet publishes it (releases 1.0.1 to 1.0.3), whole or any part of it.

Labels are the keys of `scp_codes`, whatever their likelihood, as in the published benchmarks (spec a.5).
Ages above 89, written 300 from release 1.0.2 on, become 90.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.data.challenge import missing_notes
from bench.data.corpus import (
    CorpusError,
    CorpusIndex,
    Note,
    RawRecord,
    Task,
    label_table,
    record_table,
    simulation,
)
from bench.data.tables import coerce_numbers, read_table
from bench.data.wfdb_record import read_wfdb

RELEASES: dict[str, int] = {"1.0.1": 21_837, "1.0.2": 21_801, "1.0.3": 21_799}
"""Records of each release."""

_DUPLICATES = (
    "137 139 140 141 142 143 145 456 458 459 461 462 2506 2511 3795 3798 3800 3801 3832 5817 7777 7779 7782"
    " 9821 9825 9888 11810 11814 11815 11817 11838 13791 13793 13796 13797 13799 15742 18150"
)
DUPLICATES = frozenset(map(int, _DUPLICATES.split()))
"""The 38 ids release 1.0.3 dropped because their signals repeat another record's."""

FOLD_SIZES: dict[str, tuple[int, int, int]] = {
    "1.0.1": (17_441, 2_193, 2_203),
    "1.0.3": (17_418, 2_183, 2_198),
}
"""Records in train (folds 1-8), validation (9) and test (10) of a complete release (spec a.6)."""

LICENCE = "CC BY 4.0"
CITATION = (
    "Wagner et al., PTB-XL, a large publicly available electrocardiography dataset, Scientific Data 7:154"
    " (2020); https://doi.org/10.13026/kfzx-aw45"
)

_COLUMNS = ("ecg_id", "patient_id", "age", "sex", "scp_codes", "strat_fold", "filename_lr", "filename_hr")
_SIZES = ("height", "weight")
"""Columns in cm and kg, empty for most records; a table without them is read all the same."""

_STATEMENT_COLUMNS = ("diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass")
_REMEDY = "PTB-XL has it at its root"
SECONDS = 10
"""Every record's length."""

_FILE_COLUMN = {100: "filename_lr", 500: "filename_hr"}


@dataclass(frozen=True)
class PtbxlReader:
    """Reads PTB-XL.

    Tasks, all multi: `all` (71), `diagnostic` (44), `subdiagnostic` (23), `superdiagnostic` (5), `form` (19),
    `rhythm` (12); and the single `superdiagnostic-single`: records with exactly one superclass. Classes are
    sorted.

    Attributes:
        rate: Hz wanted later. `records100` serves 100 Hz, `records500` anything else; the other one if it is
            alone there.
    """

    rate: int = 100

    def index(self, root: Path) -> CorpusIndex:
        """Read the two tables and see which signals are there; see `Reader.index`."""
        notes: list[Note] = []
        table = _read_database(root / "ptbxl_database.csv", notes)
        statements = read_table(root / "scp_statements.csv", _STATEMENT_COLUMNS, _REMEDY)
        statements = statements.set_index(statements.columns[0])
        stored = self._stored_rate(root)
        mark = simulation(root)
        release = "" if mark else _release(table)
        _assert_complete(table, release)
        table["path"] = table[_FILE_COLUMN[stored]]
        table = _present(root / f"records{stored}", table, notes)
        codes = _codes(table, statements, notes)
        records = _records(table[table["ecg_id"].isin(codes)], mark.get("name", "ptbxl"))
        notes += _known_duplicates(records, release)
        notes += missing_notes(records["age"].tolist(), records["sex"].tolist())
        name = mark.get("name", "ptbxl")
        return CorpusIndex(
            name=name,
            title=f"{name} ({len(records):,} simulated records)" if mark else _title(len(records), release),
            records=records,
            labels=label_table(_labels(codes, statements)),
            tasks=_tasks(statements),
            notes=tuple(notes),
            simulated=bool(mark),
            licence="" if mark else LICENCE,
            citation="" if mark else CITATION,
            facts={"release": release, "stored_rate": stored, **mark},
        )

    def read(self, root: Path, path: str) -> RawRecord:
        """Read one record; see `Reader.read`."""
        raw = read_wfdb(root / path)
        rate = int(path.split("/")[0].removeprefix("records"))
        if raw.rate != rate or len(raw.signal) != SECONDS * rate:
            raise CorpusError(
                f"{len(raw.signal):,} samples at {raw.rate:g} Hz; records{rate} holds {SECONDS} s at {rate} Hz"
            )
        return raw

    def _stored_rate(self, root: Path) -> int:
        wanted = (100, 500) if self.rate == 100 else (500, 100)
        for rate in wanted:
            if (root / f"records{rate}").is_dir():
                return rate
        raise CorpusError(f"{root} has neither records100 nor records500; PTB-XL's signals lie there")


def _read_database(path: Path, notes: list[Note]) -> pd.DataFrame:
    """ptbxl_database.csv, its numbers numeric; an id that is no whole number is NaN."""
    table = read_table(path, _COLUMNS, _REMEDY)
    for name in _SIZES:
        table[name] = table.get(name, float("nan"))
    coerce_numbers(table, ("patient_id", "age", "sex", *_SIZES, "strat_fold", "ecg_id"), "ecg_id", notes)
    for name in _SIZES:
        table[name] = table[name].where(table[name] > 0)
    for name in ("ecg_id", "patient_id", "strat_fold"):
        table[name] = table[name].where(table[name] % 1 == 0)
    return table


def _release(table: pd.DataFrame) -> str:
    """The release a metadata table comes from, by its ids and its ages; '' where neither tells.

    1.0.2 and 1.0.3 write 300 for ages above 89; 1.0.1 gives the age and still has the 38 duplicates, of which
    1.0.2 keeps two.
    """
    for release, count in RELEASES.items():
        if len(table) == count:
            return release
    duplicates = table["ecg_id"].isin(DUPLICATES).any()
    if (table["age"] == 300).any():
        return "1.0.2" if duplicates else "1.0.3"
    return "1.0.1" if duplicates or (table["age"] > 89).any() else ""


def _assert_complete(table: pd.DataFrame, release: str) -> None:
    """A complete release must have its own fold sizes."""
    if release not in FOLD_SIZES or len(table) != RELEASES[release]:
        return
    fold = table["strat_fold"]
    found = (int((fold <= 8).sum()), int((fold == 9).sum()), int((fold == 10).sum()))
    if found != FOLD_SIZES[release]:
        raise CorpusError(
            f"ptbxl_database.csv of release {release} has folds {found}, published: {FOLD_SIZES[release]};"
            " fetch the file again"
        )


def _title(count: int, release: str) -> str:
    if not release:
        return f"ptbxl ({count:,} records, release not told by its metadata)"
    if count == RELEASES[release]:
        return f"ptbxl ({count:,}, release {release})"
    return f"ptbxl ({count:,} of {RELEASES[release]:,}, release {release} metadata)"


def _present(folder: Path, table: pd.DataFrame, notes: list[Note]) -> pd.DataFrame:
    """The rows whose signal file is there; a signal file without row is noted as rejected."""
    stems = {
        f"{folder.name}/{path.relative_to(folder).with_suffix('').as_posix()}"
        for path in folder.rglob("*.dat")
    }
    unknown = sorted(stems - set(table["path"]))
    notes.extend(Note(Path(stem).name, "rejected", "no row in ptbxl_database.csv") for stem in unknown)
    complete = table[["ecg_id", "patient_id", "strat_fold", "scp_codes"]].notna().all(axis=1)
    here = table["path"].isin(stems)
    for ecg_id, path in table.loc[here & ~complete, ["ecg_id", "path"]].itertuples(index=False):
        record = Path(path).name if ecg_id != ecg_id else f"{ecg_id:.0f}"
        reason = "row without whole-number ecg_id, patient_id or strat_fold, or without scp_codes"
        notes.append(Note(record, "rejected", reason))
    return table[here & complete].astype({"ecg_id": "int64"})


def _codes(table: pd.DataFrame, statements: pd.DataFrame, notes: list[Note]) -> dict[int, list[str]]:
    """The known SCP codes of each record; records whose cell is no Python dict are noted as rejected."""
    known = set(statements.index)
    codes: dict[int, list[str]] = {}
    for ecg_id, cell in zip(table["ecg_id"], table["scp_codes"], strict=True):
        try:
            stated = list(dict(ast.literal_eval(cell)))
        except (ValueError, SyntaxError, TypeError):
            notes.append(Note(str(ecg_id), "rejected", f"scp_codes is no dict: {str(cell)[:40]!r}"))
            continue
        strange = [code for code in stated if code not in known]
        notes.extend(Note(str(ecg_id), "note", f"unknown SCP code {code!r} left out") for code in strange)
        codes[ecg_id] = [code for code in stated if code in known]
    return codes


def _records(table: pd.DataFrame, source: str) -> pd.DataFrame:
    fold = table["strat_fold"].astype(int)
    return record_table(
        {
            "record": table["ecg_id"].astype(str),
            "patient": table["patient_id"].astype(int).astype(str),
            "age": table["age"].replace(300, 90),
            "sex": table["sex"].map({0: "male", 1: "female"}).fillna(""),
            "height": table["height"],
            "weight": table["weight"],
            "source": [source] * len(table),
            "fold": fold,
            "part": fold.map({9: "val", 10: "test"}).fillna("train"),
            "path": table["path"],
        }
    )


def _known_duplicates(records: pd.DataFrame, release: str) -> list[Note]:
    if not release:
        return []
    repeated = [record for record in records["record"] if int(record) in DUPLICATES]
    return [Note(record, "note", "a duplicate that release 1.0.3 dropped") for record in repeated]


def _selected(statements: pd.DataFrame, kind: str) -> pd.DataFrame:
    return statements[statements[kind] == 1]


def _mappings(statements: pd.DataFrame) -> dict[str, dict[str, str]]:
    """For each multi-label task, which code stands for which class."""
    diagnostic = _selected(statements, "diagnostic")
    own = {kind: _selected(statements, kind).index for kind in ("diagnostic", "form", "rhythm")}
    own["all"] = statements.index
    return {
        **{kind: {code: code for code in codes} for kind, codes in own.items()},
        "subdiagnostic": diagnostic["diagnostic_subclass"].to_dict(),
        "superdiagnostic": diagnostic["diagnostic_class"].to_dict(),
    }


def _tasks(statements: pd.DataFrame) -> dict[str, Task]:
    mappings = _mappings(statements)
    order = ("all", "diagnostic", "subdiagnostic", "superdiagnostic", "form", "rhythm")
    tasks = {name: Task(name, "multi", tuple(sorted(set(mappings[name].values())))) for name in order}
    single = Task("superdiagnostic-single", "single", tasks["superdiagnostic"].classes)
    return {**tasks, single.name: single}


def _labels(codes: dict[int, list[str]], statements: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    mappings = _mappings(statements)
    for ecg_id, stated in codes.items():
        for task, mapping in mappings.items():
            labels = sorted({mapping[code] for code in stated if code in mapping})
            yield from ((str(ecg_id), task, label) for label in labels)
            if task == "superdiagnostic" and len(labels) == 1:
                yield str(ecg_id), "superdiagnostic-single", labels[0]
