"""A hospital's own data: a folder of WFDB or CSV records and one `records.csv` that says whose they are.

    record,path,patient,age,sex,labels,fold,part,rate,unit
    r1,2024/r1,p1,63,male,AFIB;LVH,1,train,,
    r2,export/r2.csv,p2,,female,SR,2,test,500,uV

* record: id, unique. path: below the folder. A WFDB record without extension (or its .hea); a CSV record with .csv,
  one row a sample, one column a lead, either in the order I, II, III, aVR, aVL, aVF, V1-V6 or named by a first line.
* labels: separated by ';'. They make the task `labels`: single if every labelled record has exactly one, else multi.
* patient (default: each record its own), age (years), sex (male, female), fold (whole number, 0: none),
  part (train, val, test or empty) may be left out or empty; so may rate (Hz) and unit (mV, the default, or uV),
  but a CSV record needs its rate.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.data.challenge import missing_notes
from bench.data.corpus import CorpusError, CorpusIndex, Note, RawRecord, Task, label_table, record_table
from bench.data.csv_record import UNITS, read_csv_record
from bench.data.wfdb_record import read_wfdb

TABLE = "records.csv"

_REQUIRED = ("record", "path", "labels")
_OPTIONAL = ("patient", "age", "sex", "fold", "part", "rate", "unit")
_SEXES = {"male": "male", "m": "male", "female": "female", "f": "female", "": ""}
_PARTS = ("train", "val", "test", "")


@dataclass(frozen=True)
class FolderReader:
    """Reads a folder described by `records.csv` (the module's docstring has its columns).

    Attributes:
        name: the corpus's name in tables.
    """

    name: str = "folder"

    def index(self, root: Path) -> CorpusIndex:
        """Read and check `records.csv`; see `Reader.index`."""
        table = _read_table(root / TABLE)
        notes: list[Note] = []
        table = table[[_is_here(root, row, notes) for row in table.itertuples()]]
        ages = [_number(row, "age", math.nan) for row in table.itertuples()]
        sexes = [_one_of(row, "sex", _SEXES) for row in table.itertuples()]
        records = record_table(
            {
                "record": table["record"],
                "patient": table["patient"].where(table["patient"] != "", table["record"]),
                "age": ages,
                "sex": sexes,
                "source": [self.name] * len(table),
                "fold": [int(_number(row, "fold", 0)) for row in table.itertuples()],
                "part": [
                    _one_of(row, "part", dict(zip(_PARTS, _PARTS, strict=True))) for row in table.itertuples()
                ],
                "path": [_locator(row) for row in table.itertuples()],
            }
        )
        labels = label_table(_labels(table))
        return CorpusIndex(
            name=self.name,
            title=f"{self.name} ({len(records):,} records)",
            records=records,
            labels=labels,
            tasks=_tasks(labels),
            notes=(*notes, *missing_notes(ages, sexes)),
        )

    def read(self, root: Path, path: str) -> RawRecord:
        """Read one record; `path` is 'file' for WFDB and 'file|rate|unit' for CSV. See `Reader.read`."""
        file, *rest = path.split("|")
        if rest:
            return read_csv_record(root / file, float(rest[0]), rest[1])
        return read_wfdb(root / file)


def _read_table(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise CorpusError(f"{TABLE} is missing in {path.parent}; it lists record, path and labels") from None
    absent = [name for name in _REQUIRED if name not in table]
    if absent:
        raise CorpusError(f"{path} lacks the column {', '.join(absent)}; it needs {', '.join(_REQUIRED)}")
    for name in _OPTIONAL:
        if name not in table:
            table[name] = ""
    table = table.map(str.strip)
    twice = table.loc[table["record"].duplicated(), "record"]
    if len(twice):
        raise CorpusError(f"{path} lists record {twice.iloc[0]!r} twice; ids must be unique")
    return table


def _is_here(root: Path, row: object, notes: list[Note]) -> bool:
    """Whether the record's file is there; notes a rejection otherwise."""
    path = Path(str(row.path))  # type: ignore[attr-defined]
    file = root / path if path.suffix == ".csv" else root / path.parent / f"{_stem(path)}.hea"
    if file.is_file():
        return True
    notes.append(Note(str(row.record), "rejected", f"no file {file.relative_to(root)}"))  # type: ignore[attr-defined]
    return False


def _stem(path: Path) -> str:
    return path.name.removesuffix(".hea")


def _locator(row: object) -> str:
    """What `read` needs to find and understand the record."""
    path, rate, unit = (str(getattr(row, name)) for name in ("path", "rate", "unit"))
    if not path.endswith(".csv"):
        return path.removesuffix(".hea")
    if not _number(row, "rate", 0) > 0:
        raise CorpusError(f"{_where(row)}: a CSV record needs its rate in Hz, not {rate!r}")
    if unit and unit not in UNITS:
        raise CorpusError(f"{_where(row)}: unit {unit!r} is none of {', '.join(UNITS)}")
    return f"{path}|{rate}|{unit or 'mV'}"


def _number(row: object, column: str, default: float) -> float:
    text = str(getattr(row, column))
    if not text:
        return default
    try:
        return float(text)
    except ValueError:
        raise CorpusError(f"{_where(row)}: {column} {text!r} is no number") from None


def _one_of(row: object, column: str, known: dict[str, str]) -> str:
    text = str(getattr(row, column))
    if text.lower() not in known:
        raise CorpusError(f"{_where(row)}: {column} {text!r} is none of {', '.join(filter(None, known))}")
    return known[text.lower()]


def _where(row: object) -> str:
    return f"{TABLE}, record {row.record!r}"  # type: ignore[attr-defined]


def _labels(table: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    for record, cell in zip(table["record"], table["labels"], strict=True):
        labels = dict.fromkeys(label.strip() for label in cell.split(";"))
        yield from ((record, "labels", label) for label in labels if label)


def _tasks(labels: pd.DataFrame) -> dict[str, Task]:
    if labels.empty:
        return {}
    single = labels["record"].is_unique
    return {"labels": Task("labels", "single" if single else "multi", tuple(sorted(set(labels["label"]))))}
