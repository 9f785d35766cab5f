"""A hospital's own data: a folder of WFDB or CSV records and one `records.csv` that says whose they are.

    record,path,patient,age,sex,labels,fold,part,rate,unit
    r1,2024/r1,p1,63,male,AFIB;LVH,1,train,,
    r2,export/r2.csv,p2,,female,SR,2,test,500,uV

* record: id, unique.
* path: below the folder. A WFDB record, with or without .hea; or a CSV record, with .csv: one row a sample,
  one column a lead, in the order I, II, III, aVR, aVL, aVF, V1-V6 or in any order that a first line names.
* labels: separated by ';'. They make the task `labels`: single if every labelled record has one, else multi.
  A record without any is pre-trained on, and never judged: in a multi-label folder normal is a label too.
* patient (default: each record its own), age (years), sex (male, female), fold (whole number, 0: none) and
  part (train, val, test or empty) may be empty or left out; so may rate (Hz) and unit (mV, the default; uV),
  but a CSV record needs its rate.

Where any record has a part, these parts are the split; else patients are drawn.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
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
from bench.data.csv_record import UNITS, read_csv_record
from bench.data.tables import read_table
from bench.data.wfdb_record import read_wfdb

TABLE = "records.csv"

_REQUIRED = ("record", "path", "labels")
_OPTIONAL = ("patient", "age", "sex", "fold", "part", "rate", "unit")
_SEXES = {"male": "male", "m": "male", "female": "female", "f": "female", "": ""}
_PARTS = {part: part for part in ("train", "val", "test", "")}

Row = Mapping[str, str]


@dataclass(frozen=True)
class FolderReader:
    """Reads a folder described by `records.csv` (the module's docstring has its columns).

    Attributes:
        name: the corpus's name in tables; '': the folder's own, so that two hospitals keep apart.
        kind: said before the name in titles: 'own corpus'; '' where the folder is only looked over.
    """

    name: str = ""
    kind: str = ""

    def index(self, root: Path) -> CorpusIndex:
        """Read and check `records.csv`; see `Reader.index`."""
        notes: list[Note] = []
        mark = simulation(root)
        name = mark.get("name") or self.name or root.resolve().name or "folder"
        rows = [row for row in _read_rows(root / TABLE) if _is_here(root, row, notes)]
        if not rows:
            raise CorpusError(f"no record of {root / TABLE} has its file; paths are below {root}")
        ages = [_number(row, "age", math.nan) for row in rows]
        sexes = [_one_of(row, "sex", _SEXES) for row in rows]
        records = record_table(
            {
                "record": [row["record"] for row in rows],
                "patient": [row["patient"] or row["record"] for row in rows],
                "age": ages,
                "sex": sexes,
                "source": [name] * len(rows),
                "fold": [_fold(row) for row in rows],
                "part": [_one_of(row, "part", _PARTS) for row in rows],
                "path": [_locator(row) for row in rows],
            }
        )
        labels = label_table(_labels(rows))
        if not any(row["patient"] for row in rows):
            notes.append(Note("", "note", "column patient is empty: each record is its own patient"))
        return CorpusIndex(
            name=name,
            title=self._title(name, rows, bool(mark)),
            records=records,
            labels=labels,
            tasks=_tasks(labels),
            notes=(*notes, *missing_notes(ages, sexes)),
            simulated=bool(mark),
        )

    def _title(self, name: str, rows: Sequence[Row], simulated: bool) -> str:
        """'ward7 (300 records)'; of one's own corpus also that nobody knows whose they are."""
        counted = f"{len(rows):,} {'simulated ' if simulated else ''}records"
        nobodys = bool(self.kind) and not any(row["patient"] for row in rows)
        return f"{self.kind} {name} ({counted}{', patients unknown' if nobodys else ''})".strip()

    def read(self, root: Path, path: str) -> RawRecord:
        """Read one record; `path` is 'file' for WFDB and 'file|rate|unit' for CSV. See `Reader.read`."""
        file, *rest = path.split("|")
        if rest:
            return read_csv_record(root / file, float(rest[0]), rest[1])
        return read_wfdb(root / file)


def _read_rows(path: Path) -> list[dict[str, str]]:
    table = read_table(path, _REQUIRED, "it lists record, path and labels", text=True)
    table = table.reindex(columns=[*_REQUIRED, *_OPTIONAL], fill_value="").map(str.strip)
    twice = table.loc[table["record"].duplicated(), "record"].tolist()
    if twice:
        raise CorpusError(f"{path} lists record {twice[0]!r} twice; ids must be unique")
    return [dict(zip(table.columns, values, strict=True)) for values in table.itertuples(index=False)]


def _is_here(root: Path, row: Row, notes: list[Note]) -> bool:
    """Whether the record's file is there; notes a rejection otherwise."""
    path = row["path"] if row["path"].endswith(".csv") else f"{row['path'].removesuffix('.hea')}.hea"
    if (root / path).is_file():
        return True
    notes.append(Note(row["record"], "rejected", f"no file {path}"))
    return False


def _locator(row: Row) -> str:
    """What `read` needs to find and understand the record."""
    if not row["path"].endswith(".csv"):
        return row["path"].removesuffix(".hea")
    if not _number(row, "rate", 0) > 0:
        raise CorpusError(f"{_where(row)}: a CSV record needs its rate in Hz, not {row['rate']!r}")
    unit = _one_of(row, "unit", {"": "mV"} | {unit.lower(): unit for unit in UNITS})
    return f"{row['path']}|{row['rate']}|{unit}"


def _number(row: Row, column: str, default: float) -> float:
    try:
        return float(row[column]) if row[column] else float(default)
    except ValueError:
        raise CorpusError(f"{_where(row)}: {column} {row[column]!r} is no number") from None


def _fold(row: Row) -> int:
    fold = _number(row, "fold", 0)
    if not fold.is_integer():
        raise CorpusError(f"{_where(row)}: fold {row['fold']!r} is no whole number")
    return int(fold)


def _one_of(row: Row, column: str, known: Mapping[str, str]) -> str:
    try:
        return known[row[column].lower()]
    except KeyError:
        choices = ", ".join(dict.fromkeys(filter(None, known.values())))
        raise CorpusError(f"{_where(row)}: {column} {row[column]!r} is none of {choices}") from None


def _where(row: Row) -> str:
    return f"{TABLE}, record {row['record']!r}"


def _labels(rows: list[dict[str, str]]) -> Iterator[tuple[str, str, str]]:
    for row in rows:
        labels = dict.fromkeys(label.strip() for label in row["labels"].split(";"))
        yield from ((row["record"], "labels", label) for label in labels if label)


def _tasks(labels: pd.DataFrame) -> dict[str, Task]:
    if labels.empty:
        return {}
    single = labels["record"].is_unique
    classes = tuple(sorted(set(labels["label"])))
    return {"labels": Task("labels", "single" if single else "multi", classes)}
